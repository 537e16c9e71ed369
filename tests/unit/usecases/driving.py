"""A driver of runs with all that it stands on, and a runner that does what the test says."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.clock import FakeClock
from tests.fakes.leases import FakeLeases
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.pack_index import FakePackIndex
from tests.fakes.passed_output import FakePassedOutput
from tests.fakes.run_cache import FakeRunCache
from tests.fakes.run_store import FakeRunStore
from wherry.service.adapters.logs_files import FileLogStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.domain.blob import digest_content, object_key
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.errors import SubmissionGone
from wherry.service.domain.images.image import Image
from wherry.service.domain.network import NetworkPolicy
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.run import NewRun, Run
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.submission import Needs, RunOptions, Submission
from wherry.service.domain.task import AttemptId, Failed, Outcome, RunId, StageTask, Succeeded
from wherry.service.ports.clock import Identities
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.attempt_stage import AttemptStage, GoingRun
from wherry.service.usecases.caching_runner import CachingStageRunner
from wherry.service.usecases.drive_run import DriveRun, RunnerMaker
from wherry.service.usecases.find_dvc_result import FindDvcResult
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_recorded import FindRecorded
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.find_vanished import FindVanished
from wherry.service.usecases.forget_blobs import ForgetBlobs
from wherry.service.usecases.hold_lease import HoldLease
from wherry.service.usecases.keep_succeeded import KeepSucceeded
from wherry.service.usecases.known_runner import KnownStageRunner
from wherry.service.usecases.merging_runner import Flights, MergingStageRunner
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.publish_legacy import PublishLegacy
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project, ReadProject
from wherry.service.usecases.reconcile_packs import ReconcilePacks
from wherry.service.usecases.resolve_stage import ProjectState, ResolveStage, open_state
from wherry.service.usecases.restore_inputs import RestoreInputs
from wherry.service.usecases.set_params import SetParams
from wherry.service.usecases.take_known import TakeKnown
from wherry.service.usecases.write_backs import WriteBacks

DIAMOND = """\
stages:
  top: {cmd: make top, deps: [a], outs: [t]}
  left: {cmd: make left, deps: [t], outs: [l]}
  right: {cmd: make right, deps: [t], outs: [r]}
  bottom: {cmd: make bottom, deps: [l, r], outs: [b]}
"""

Behaviour = Callable[[StageTask], Awaitable[Outcome]]


async def succeed(task: StageTask) -> Outcome:
    """Every output is the name of the stage."""
    digest = digest_content(task.stage.name.encode())
    outs = tuple(FileEntry(path=out.path, hash=digest.hash, size_bytes=1) for out in task.stage.outs)
    entry = StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=outs)
    return Succeeded(entry=entry, cache=CacheUse.MISS, wall_s=1.0)


async def fail(_task: StageTask) -> Outcome:
    return Failed(reason="exited with 1", exit_code=1, wall_s=1.0)


class ScriptedRunner(StageRunner):
    """Does for each stage what the test says; remembers the order."""

    def __init__(self, behaviours: dict[str, Behaviour]) -> None:
        self.behaviours = behaviours
        self.started: list[str] = []
        self.reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        self.started.append(task.stage.name)
        await observer.began(attempt)
        await observer.entered(State.RUNNING)
        self.reached[task.stage.name].set()
        return await self.behaviours.get(task.stage.name, succeed)(task)


class Counting(Identities):
    """1, 2, 3 …"""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new_attempt_id(self) -> AttemptId:
        return AttemptId(str(next(self._numbers)))


class RaisingLog(EventLog):
    """Remembers what went wrong."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        """Not looked at."""

    def warning(self, event: str, **fields: object) -> None:
        self.problems.append(event)

    def exception(self, event: str, **fields: object) -> None:
        self.problems.append(event)


async def nothing_left(_run_id: RunId) -> None:
    """Stages of tests leave nothing on the machine."""


class _Runners(RunnerMaker):
    """What the house says at the time, with what merges around it."""

    def __init__(self, house: "House", merging: Callable[[StageRunner], StageRunner]) -> None:
        self._house, self._merging = house, merging

    def for_run(self, run: Run, project: Project, options: RunOptions) -> StageRunner:
        return self._merging(self._house.runner_for(run, project, options))

    async def cleared(self, run_id: RunId) -> None:
        await self._house.cleared(run_id)


class House:
    """A driver with all it needs."""

    def __init__(self, tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
        self.runner = ScriptedRunner(behaviours)
        self.runs, self.log, clock = FakeRunStore(), RaisingLog(), FakeClock()
        index, objects = FakeBlobIndex(), FakeObjectStore()
        self.index, self.objects = index, objects
        self.node = LocalNodeCache(tmp_path / "node", store=objects)
        self.logs = FileLogStore(tmp_path / "logs")
        self.put = PutBlobs(objects=objects, index=index, node=self.node, spool=tmp_path)
        read = ReadBlobs(self.node)
        self.leases = FakeLeases()
        adopt, cache = AdoptBlobs(index=index, objects=objects, read=read), FakeRunCache(leases=self.leases)
        identities = Counting()
        self.cache = cache
        self.cleared: Callable[[RunId], Awaitable[None]] = nothing_left
        self.runner_for: Callable[[Run, Project, RunOptions], StageRunner] = lambda *_: self.runner
        dvc = FindDvcResult(objects=objects, index=index, adopt=adopt, read=read)
        find = FindResult(cache=cache, index=index, adopt=adopt, dvc=dvc)
        packs = FakePackIndex(index)
        sources = FindSources(index=index, packs=packs)
        legacy = FindLegacyHashes(held=sources, read=read, node=self.node)
        adopt_legacy = AdoptLegacy(objects=objects, index=index, put=self.put, spool=tmp_path)
        recorded = FindRecorded(index=index, legacy=legacy, adopt=adopt_legacy)
        resolve = ResolveStage(
            index=index, read=read, legacy=legacy, recorded=recorded, network=NetworkPolicy()
        )
        self._opened: dict[str, tuple[Submission, RunOptions]] = {}
        self.read_project = ReadProject(
            sources=sources,
            read=read,
            set_params=SetParams(put=self.put, read=read, composer=HydraParamComposer(at_once=1)),
        )
        self.clock = clock
        flights = Flights()
        lease = HoldLease(
            leases=self.leases,
            passed=FakePassedOutput(self.leases),
            find=find,
            clock=clock,
            identities=identities,
            log=self.log,
            owner="here",
        )

        def merging(inner: StageRunner) -> StageRunner:
            caching = CachingStageRunner(inner, find=find, cache=cache, objects=objects, clock=clock)
            merging = MergingStageRunner(
                caching, flights=flights, lease=lease, find=find, logs=self.logs, clock=clock
            )
            return KnownStageRunner(merging, find=find, clock=clock)

        note_use = NoteUse(index=index, packs=packs, log=self.log)
        self.take_known: Callable[[GoingRun, Sequence[Stage]], Awaitable[Sequence[Stage]]] = TakeKnown(
            resolve=resolve, find=find, note_use=note_use, clock=clock
        )
        self.next_driver: Callable[[], DriveRun] = lambda: DriveRun(
            take_known=lambda going, stages: self.take_known(going, stages),  # noqa: PLW0108 - tests put others there
            attempt=RestoreInputs(
                attempt=AttemptStage(
                    resolve=resolve,
                    recorded=recorded,
                    find=find,
                    logs=self.logs,
                    clock=clock,
                    identities=identities,
                    note_use=note_use,
                    node="here",
                ),
                find_vanished=FindVanished(
                    adopt=adopt,
                    forget=ForgetBlobs(objects=objects, index=index),
                    index=index,
                    packs=ReconcilePacks(objects=objects, packs=packs, clock=clock, log=self.log),
                    sources=sources,
                    read=read,
                    log=self.log,
                ),
            ),
            runners=_Runners(self, merging),
            runs=self.runs,
            keep_succeeded=KeepSucceeded(resolve, clock),
            reopen=self._reopen,
            write_backs=WriteBacks(
                put=self.put,
                index=index,
                legacy=legacy,
                publish=PublishLegacy(objects=objects, index=index, read=read, legacy=legacy, log=self.log),
            ),
            logs=self.logs,
            clock=clock,
            log=self.log,
        )
        self.driver = self.next_driver()

    async def start(
        self,
        files: dict[str, str],
        options: RunOptions = RunOptions(),  # noqa: B008 - frozen
        *,
        user: str = "ana",
    ) -> Run:
        entries = {}
        for path, text in files.items():
            digest = await self.put.put_content(text.encode())
            entries[ProjectPath(path)] = SnapshotFile(hash=digest.hash, size_bytes=digest.size_bytes)
        submission = Submission(project="p", user=user, snapshot=Snapshot(files=entries, data={}))
        state = await self._open(submission)
        new = NewRun(
            idempotency_key=str(len(self.runs.runs)),
            name="",
            project="p",
            user=user,
            rev="",
            dirty=False,
            message="",
            created_at=self.clock.now(),
            stages=tuple(stage.name for stage in state.project.stages),
        )
        run, _ = await self.runs.create(new)
        self._opened[run.id] = (submission, options)
        self.driver.start(run, state, options)
        return run

    async def _open(self, submission: Submission) -> ProjectState:
        project = await self.read_project(submission)
        assert not isinstance(project, Needs)
        image = Image(name="i", digest="sha256:0", platform="linux/amd64")
        return open_state(project, {}, {stage.name: image for stage in project.stages}, IgnoreRules({}))

    async def _reopen(self, run: Run) -> tuple[ProjectState, RunOptions]:
        if run.id not in self._opened:
            raise SubmissionGone("it is not kept")
        submission, options = self._opened[run.id]
        return await self._open(submission), options

    def forget(self, run: Run) -> None:
        """Lose what a run was submitted with."""
        del self._opened[run.id]

    async def end_of(self, run: Run) -> Run:
        return await self.until(run, lambda now: now.state.is_final)

    async def until(self, run: Run, condition: Callable[[Run], bool]) -> Run:
        seen = 0
        while not condition(now := await self.runs.get(run.id)):
            await self.runs.wait_for_events(run.id, seen, 10)
            seen = len(self.runs.events[run.id])
        return now

    async def lines_of(self, run: Run) -> list[bytes]:
        """What the run's log has."""
        return [line.line.text for line in await self.logs.read_after(run.id, 0, stage=None, limit=1000)]

    async def until_started(self, *names: str) -> None:
        async with asyncio.timeout(60):
            for name in names:
                await self.runner.reached[name].wait()


def drive(
    tmp_path: Path, behaviours: dict[str, Behaviour], check: Callable[[House], Awaitable[None]]
) -> None:
    async def main() -> None:
        house = House(tmp_path, behaviours)
        try:
            await check(house)
        finally:
            await house.driver.close()
            house.node.close()
            house.logs.close()

    asyncio.run(main())


def states(run: Run) -> dict[str, State]:
    return {name: stage.state for name, stage in run.stages.items()}


FILES = {"dvc.yaml": DIAMOND, "a": "1"}
ONLY_TOP = {"dvc.yaml": "stages:\n  top: {cmd: make top, deps: [a], outs: [t]}\n", "a": "1"}
TOP = object_key(digest_content(b"top").hash)
