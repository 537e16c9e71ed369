"""One life of a service: the real use cases and runners, over ports that fail, are slow, and fall silent at its death."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from tests.fakes.pack_index import FakePackIndex
from tests.unit.usecases.runs_machine import MACHINE, FakeNode
from tests.unit.usecases.runs_ports import (
    Archive,
    CheckedCache,
    Contents,
    Gated,
    Images,
    NoSecrets,
    OwnRuns,
    Shared,
    Site,
)
from wherry.service.adapters.traces_docker import SERVICE_LABEL
from wherry.service.bootstrap.runners import RunnerParts, Runners
from wherry.service.config import Settings
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.errors import EngineUnavailable, StoreUnavailable, Unavailable
from wherry.service.domain.images.image import NamedImage
from wherry.service.domain.network import NetworkPolicy
from wherry.service.domain.submission import RunOptions, Submission
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.containers import ContainerEngine
from wherry.service.ports.images import ImageMaker, ImageStore, ImageUses, MadeImages
from wherry.service.ports.leases import Leases
from wherry.service.ports.log_archive import LogArchive, LogsToKeep
from wherry.service.ports.logs import LogStore
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.passed_output import PassedOutput
from wherry.service.ports.run_cache import RunCache
from wherry.service.ports.runs import RunStore
from wherry.service.ports.secrets import SecretStore
from wherry.service.ports.submissions import SubmissionStore
from wherry.service.ports.workspaces import NodeCache, Workspaces
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.attempt_stage import AttemptStage
from wherry.service.usecases.drive_run import DriveRun
from wherry.service.usecases.find_dvc_result import FindDvcResult
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_recorded import FindRecorded
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.find_vanished import FindVanished
from wherry.service.usecases.follow_run import FollowRun
from wherry.service.usecases.forget_blobs import ForgetBlobs
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.keep_secrets import CheckSecrets
from wherry.service.usecases.keep_snapshot import KeepSnapshot
from wherry.service.usecases.keep_succeeded import KeepSucceeded
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.publish_legacy import PublishLegacy
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.ready_images import ReadyImages
from wherry.service.usecases.reconcile_packs import ReconcilePacks
from wherry.service.usecases.recover_runs import RecoverRuns
from wherry.service.usecases.reopen_run import ReopenRun
from wherry.service.usecases.replay_log import ReplayLog
from wherry.service.usecases.resolve_stage import ProjectState, ResolveStage, open_state
from wherry.service.usecases.restore_inputs import RestoreInputs
from wherry.service.usecases.stop_run import StopRun
from wherry.service.usecases.submit_run import SubmitRun
from wherry.service.usecases.sweep_leases import SweepLeases
from wherry.service.usecases.take_known import TakeKnown
from wherry.service.usecases.trim_images import TrimImages
from wherry.service.usecases.watch_stops import WatchStops
from wherry.service.usecases.write_backs import WriteBacks

_T = TypeVar("_T")

# What one call to another program takes at most.
_SLOW_S = 0.02


class Life:
    """From a start of the service to its end, which may come within any call of a port."""

    def __init__(self, shared: Shared, site: Site) -> None:
        self.shared, self.site = shared, site
        self.death = asyncio.get_running_loop().create_future()
        self._silence = asyncio.get_running_loop().create_future()
        self.calls_left: int | None = None
        """After so many further calls it is killed; None: it is not."""
        self._build()

    @property
    def is_dead(self) -> bool:
        return self.death.done()

    def kill(self) -> None:
        """What it was doing is never heard of again."""
        if not self.death.done():
            self.death.set_result(None)

    async def pass_gate(self, kind: str) -> None:
        """A call of a port takes time, and fails while what it asks is away."""
        await self._stay_alive()
        await asyncio.sleep(self.shared.chance.random() * _SLOW_S)
        await self._stay_alive()
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left <= 0:
                self.kill()
        await self._stay_alive()
        if kind in self.site.down:
            raise {"engine": EngineUnavailable, "store": StoreUnavailable}.get(kind, Unavailable)(
                f"the {kind} does not answer"
            )

    async def _stay_alive(self) -> None:
        if self.shared.is_closing:
            raise asyncio.CancelledError
        if self.is_dead:
            await asyncio.shield(self._silence)

    async def start(self) -> None:
        """Take up what an earlier life left.

        Raises:
            Unavailable: then it could not be started.
        """
        await self.lease_sweep()
        await self.keep_logs.resume()
        await self.recover.start()
        self.stops.start()

    async def leave(self) -> None:
        """End as on `wherry down`."""
        self.runners.remains.stay = True
        await self.stops.close()
        await self.recover.close()
        await self.drive.close()
        await self.runners.remains.close()
        await self.note_use.close()
        await self.keep_logs.close()
        self.kill()

    def _port(self, port: type[_T], inner: object, kind: str) -> _T:
        return cast(_T, Gated(inner, self, kind))

    def _build(self) -> None:
        shared, site, clock = self.shared, self.site, self.shared.clock
        self.runs = self._port(RunStore, OwnRuns(shared, site.owner), "database")  # type: ignore[type-abstract]
        leases = self._port(Leases, shared.leases, "database")  # type: ignore[type-abstract]
        passed = self._port(PassedOutput, shared.passed, "database")  # type: ignore[type-abstract]
        cache = self._port(RunCache, CheckedCache(shared), "database")  # type: ignore[type-abstract]
        index = self._port(BlobIndex, shared.index, "database")  # type: ignore[type-abstract]
        secrets = self._port(SecretStore, NoSecrets(), "database")  # type: ignore[type-abstract]
        submissions = self._port(SubmissionStore, Contents(shared), "database")  # type: ignore[type-abstract]
        objects = self._port(ObjectStore, shared.objects, "store")  # type: ignore[type-abstract]
        archive = self._port(LogArchive, Archive(shared), "store")  # type: ignore[type-abstract]
        engine = self._port(ContainerEngine, site.engine, "engine")  # type: ignore[type-abstract]
        images = self._port(ImageStore, Images(), "engine")  # type: ignore[type-abstract]
        workspaces = self._port(Workspaces, site.workspaces, "disk")  # type: ignore[type-abstract]
        noted = self._port(LogsToKeep, site.noted, "disk")  # type: ignore[type-abstract]
        logs = self._port(LogStore, site.logs, "disk")  # type: ignore[type-abstract]
        node: NodeCache = FakeNode(objects, shared.folder)
        identities, log = shared.identities, shared.log
        put = PutBlobs(objects=objects, index=index, node=node, spool=shared.folder)
        read = ReadBlobs(node)
        adopt = AdoptBlobs(index=index, objects=objects, read=read)
        find = FindResult(
            cache=cache,
            index=index,
            adopt=adopt,
            dvc=FindDvcResult(objects=objects, index=index, adopt=adopt, read=read),
        )
        packs = FakePackIndex(shared.index)
        sources = FindSources(index=index, packs=packs)
        legacy = FindLegacyHashes(held=sources, read=read, node=node)
        adopt_legacy = AdoptLegacy(objects=objects, index=index, put=put, spool=shared.folder)
        recorded = FindRecorded(index=index, legacy=legacy, adopt=adopt_legacy)
        resolve = ResolveStage(
            index=index, read=read, legacy=legacy, recorded=recorded, network=NetworkPolicy()
        )
        self.keep_logs = KeepLogs(logs=logs, archive=archive, noted=noted, clock=clock, log=log)
        self.note_use = NoteUse(index=index, packs=packs, log=log)
        self.runners = Runners(
            Settings(home=shared.folder, jobs=2, workspace_gb=1),
            _Ports(
                engine=engine,
                workspaces=workspaces,
                images=ReadyImages(
                    store=images,
                    maker=cast(ImageMaker, None),
                    node=node,
                    trim=TrimImages(
                        made=cast(MadeImages, None),
                        uses=cast(ImageUses, None),
                        clock=clock,
                        log=log,
                        bytes_max=0,
                    ),
                    installer={},
                    at_once=1,
                ),
                objects=objects,
                secrets=secrets,
                logs=logs,
                labels={SERVICE_LABEL: site.owner},
            ),
            MACHINE,
            RunnerParts(
                leases=leases,
                passed=passed,
                cache=cache,
                find=find,
                put=put,
                keep_logs=self.keep_logs,
                clock=clock,
                identities=identities,
                log=log,
            ),
        )
        self.lease_sweep = SweepLeases(leases=leases, passed=passed, clock=clock)
        open_project = cast(OpenProject, self._open)
        self.drive = DriveRun(
            take_known=TakeKnown(resolve=resolve, find=find, note_use=self.note_use, clock=clock),
            attempt=RestoreInputs(
                attempt=AttemptStage(
                    resolve=resolve,
                    recorded=recorded,
                    find=find,
                    logs=logs,
                    clock=clock,
                    identities=identities,
                    note_use=self.note_use,
                    node=site.owner,
                ),
                find_vanished=FindVanished(
                    adopt=adopt,
                    forget=ForgetBlobs(objects=objects, index=index),
                    index=index,
                    packs=ReconcilePacks(objects=objects, packs=packs, clock=clock, log=log),
                    sources=sources,
                    read=read,
                    log=log,
                ),
            ),
            runners=self.runners,
            runs=self.runs,
            keep_succeeded=KeepSucceeded(resolve, clock),
            reopen=ReopenRun(submissions=submissions, read_submission=self._read, open_project=open_project),
            write_backs=WriteBacks(
                put=put,
                index=index,
                legacy=legacy,
                publish=PublishLegacy(objects=objects, index=index, read=read, legacy=legacy, log=log),
            ),
            logs=logs,
            clock=clock,
            log=log,
        )
        self.recover = RecoverRuns(
            runs=self.runs,
            drive=self.drive,
            leftovers=self.runners.leftovers,
            workspaces=workspaces,
            clock=clock,
            log=log,
        )
        self.submit = SubmitRun(
            open_project=open_project,
            check_secrets=CheckSecrets(secrets),
            runs=self.runs,
            drive=self.drive,
            clock=clock,
            note_use=self.note_use,
            snapshots=KeepSnapshot(put=put, node=node),
        )
        self.stops = WatchStops(runs=self.runs, drive=self.drive, clock=clock)
        self.stop = StopRun(runs=self.runs, drive=self.drive)
        self.follow = FollowRun(
            runs=self.runs,
            logs=logs,
            replay=ReplayLog(logs=logs, archive=archive, keep=self.keep_logs, clock=clock),
        )

    def _read(self, content: bytes, _user: str) -> tuple[Submission, RunOptions]:
        project, options = self.shared.open(content)
        return project.submission, options

    async def _open(
        self, submission: Submission, *, upload: bool, known: Sequence[NamedImage] = ()
    ) -> ProjectState:
        """A project that is read already; what that asks may be away all the same."""
        for kind in ("database", "store", "engine"):
            await self.pass_gate(kind)
        project, _ = self.shared.open(submission.rev.encode())
        project = replace(project, submission=submission)
        image = self.shared.image()
        return open_state(project, {}, {stage.name: image for stage in project.stages}, IgnoreRules({}))


@dataclass(frozen=True, kw_only=True)
class _Ports:
    engine: ContainerEngine
    workspaces: Workspaces
    images: ReadyImages
    objects: ObjectStore
    secrets: SecretStore
    logs: LogStore
    labels: Mapping[str, str]
