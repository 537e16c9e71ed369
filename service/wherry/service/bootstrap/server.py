"""Build the use cases and the server around them."""

import contextlib
import importlib.metadata
import random
import shutil
from pathlib import Path

import structlog

from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.clock_system import SystemClock, SystemIdentities
from wherry.service.adapters.home_lock import is_at_work
from wherry.service.adapters.installer_pip import pip_version
from wherry.service.adapters.leases_sql import SqlLeases
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.adapters.runs_sql import SqlRunStore
from wherry.service.adapters.submissions_sql import SqlSubmissionStore
from wherry.service.adapters.traces_docker import SERVICE_LABEL, DockerTraces
from wherry.service.bootstrap.cache_service import build_cache_servicer
from wherry.service.bootstrap.parts import Parts
from wherry.service.bootstrap.store import Store
from wherry.service.config import Settings, read_or_make_token
from wherry.service.domain.resources import allotted
from wherry.service.domain.run import Run
from wherry.service.domain.submission import RunOptions
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.runs import RunStore
from wherry.service.ports.stages import StageRunner
from wherry.service.rpc.blobs import BlobServicer
from wherry.service.rpc.pipelines import PipelineServicer
from wherry.service.rpc.results import ResultServicer
from wherry.service.rpc.runs import RunServicer
from wherry.service.rpc.secrets import SecretServicer
from wherry.service.rpc.server import RpcServer, Servicers
from wherry.service.rpc.system import SystemFacts, SystemServicer
from wherry.service.usecases.add_stage import AddStage
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.attempt_stage import AttemptStage
from wherry.service.usecases.caching_runner import CachingStageRunner
from wherry.service.usecases.check_blobs import CheckBlobs
from wherry.service.usecases.check_data import CheckData
from wherry.service.usecases.check_service import CheckService
from wherry.service.usecases.compare_with_lock import CompareWithLock
from wherry.service.usecases.container_runner import ContainerStageRunner
from wherry.service.usecases.describe_pipeline import DescribePipeline
from wherry.service.usecases.direct_blobs import DirectBlobs
from wherry.service.usecases.disk_limit import DiskLimit
from wherry.service.usecases.drive_run import DriveRun
from wherry.service.usecases.explain_stage import ExplainStage
from wherry.service.usecases.explaining_runner import ExplainingStageRunner
from wherry.service.usecases.find_contents import FindContents
from wherry.service.usecases.find_dvc_result import FindDvcResult
from wherry.service.usecases.find_leftovers import FindLeftovers
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_nearest_result import FindNearestResult
from wherry.service.usecases.find_recorded import FindRecorded
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.find_vanished import FindVanished
from wherry.service.usecases.follow_run import FollowRun
from wherry.service.usecases.forget_blobs import ForgetBlobs
from wherry.service.usecases.hold_lease import HoldLease
from wherry.service.usecases.image_runner import ImageStageRunner
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.keep_secrets import CheckSecrets, KeepSecrets
from wherry.service.usecases.keep_snapshot import KeepSnapshot
from wherry.service.usecases.known_runner import KnownStageRunner
from wherry.service.usecases.lint_project import LintProject
from wherry.service.usecases.logged_runner import LoggedStageRunner
from wherry.service.usecases.merging_runner import Flights, MergingStageRunner
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.plan_run import PlanRun
from wherry.service.usecases.publish_legacy import PublishLegacy
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.rank_stages import RankStages
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_dvc_files import ReadDvcFiles
from wherry.service.usecases.read_ignore_rules import ReadIgnoreRules
from wherry.service.usecases.read_project import Project, ReadProject
from wherry.service.usecases.read_results import ReadResults
from wherry.service.usecases.read_run_results import ReadRunResults
from wherry.service.usecases.recover_runs import RecoverRuns
from wherry.service.usecases.replay_log import ReplayLog
from wherry.service.usecases.resolve_builds import ResolveBuilds
from wherry.service.usecases.resolve_images import ResolveImages
from wherry.service.usecases.resolve_requirements import ResolveRequirements
from wherry.service.usecases.resolve_stage import ResolveStage
from wherry.service.usecases.restore_inputs import RestoreInputs
from wherry.service.usecases.retrying_runner import RetryingStageRunner
from wherry.service.usecases.run_container import RunContainer
from wherry.service.usecases.scheduled_runner import Places, ScheduledStageRunner
from wherry.service.usecases.send_blobs import SendBlobs
from wherry.service.usecases.set_params import SetParams
from wherry.service.usecases.submit_run import SubmitRun
from wherry.service.usecases.write_backs import WriteBacks

# Each is a process that may use a gigabyte.
_COMPOSITIONS_AT_ONCE = 2


async def build_server(
    settings: Settings, store: Store, parts: Parts, stack: contextlib.AsyncExitStack
) -> RpcServer:
    """Put the use cases together over the parts, and take up what an earlier life of the service left."""
    log, clock, identities = structlog.get_logger("wherry"), SystemClock(), SystemIdentities()
    index, cache = SqlBlobIndex(parts.database, clock), SqlRunCache(parts.database)
    runs = SqlRunStore(parts.database, random.Random())  # noqa: S311 - chooses names for runs
    spool = settings.home / "uploads"
    spool.mkdir(exist_ok=True)
    await RecoverRuns(
        runs=runs,
        engine=parts.engine,
        workspaces=parts.workspaces,
        clock=clock,
        log=log,
        labels={SERVICE_LABEL: parts.labels[SERVICE_LABEL]},
    )()

    machine = allotted(
        await parts.engine.machine(),
        at_once=settings.jobs,
        cpus=settings.stage_cpus,
        memory_bytes=None if settings.stage_memory_gb is None else int(settings.stage_memory_gb * 10**9),
        gpus=settings.stage_gpus,
    )

    put = PutBlobs(
        objects=parts.objects, index=index, node=parts.node, spool=spool, first_stays=parts.first_stays
    )
    read, snapshots = ReadBlobs(parts.node), KeepSnapshot(put=put, node=parts.node)
    direct = DirectBlobs(transfers=parts.transfers, objects=parts.objects, index=index)
    await direct.sweep()
    adopt, adopt_legacy = (
        AdoptBlobs(index=index, objects=parts.objects, read=read),
        AdoptLegacy(objects=parts.objects, index=index, put=put, spool=spool),
    )
    note_use = NoteUse(index=index, log=log)
    stack.push_async_callback(note_use.close)
    composer = HydraParamComposer(at_once=_COMPOSITIONS_AT_ONCE)
    read_project = ReadProject(
        put=put, read=read, set_params=SetParams(put=put, read=read, composer=composer)
    )
    legacy = FindLegacyHashes(index=index, read=read, node=parts.node)
    recorded, find_vanished = (
        FindRecorded(index=index, legacy=legacy, adopt=adopt_legacy),
        FindVanished(
            adopt=adopt,
            forget=ForgetBlobs(objects=parts.objects, index=index),
            index=index,
            read=read,
            log=log,
        ),
    )
    open_project = OpenProject(
        read=read_project,
        check=CheckData(index=index, adopt=adopt, adopt_legacy=adopt_legacy, read=read),
        rules=ReadIgnoreRules(read),
        images=ResolveImages(
            images=parts.image_store,
            builds=ResolveBuilds(read=read),
            requirements=ResolveRequirements(read=read, installer=pip_version()),
            default_image=settings.default_image,
            pull=settings.pull,
        ),
        find_vanished=find_vanished,
        machine=machine,
    )
    dvc = FindDvcResult(objects=parts.objects, index=index, adopt=adopt, read=read)
    find, nearest = FindResult(cache=cache, index=index, adopt=adopt, dvc=dvc), FindNearestResult(cache)
    resolve = ResolveStage(index=index, read=read, legacy=legacy, recorded=recorded, network=parts.network)
    plan = PlanRun(open_project=open_project, resolve=resolve, recorded=recorded, find=find, nearest=nearest)
    uid, gid = settings.stage_user
    keep_logs = KeepLogs(logs=parts.logs, archive=parts.log_archive, log=log)
    stack.push_async_callback(keep_logs.close)
    container = ContainerStageRunner(
        run_container=RunContainer(
            engine=parts.engine,
            clock=clock,
            disk=DiskLimit(
                engine=parts.engine,
                workspaces=parts.workspaces,
                clock=clock,
                free_bytes=lambda: shutil.disk_usage(settings.home).free,
                bytes_max=None if settings.workspace_gb is None else int(settings.workspace_gb * 10**9),
            ),
        ),
        workspaces=parts.workspaces,
        put=put,
        secrets=parts.secrets,
        user=f"{uid}:{gid}",
        labels=parts.labels,
    )
    identities, flights = SystemIdentities(), Flights()
    leftovers = FindLeftovers(
        traces=DockerTraces(parts.engine),
        service=parts.labels[SERVICE_LABEL],
        at_work=lambda home: is_at_work(Path(home)),
        going=lambda: container.going,
    )
    places = Places(machine, at_once=settings.jobs)
    lease = HoldLease(
        leases=SqlLeases(parts.database),
        find=find,
        clock=clock,
        identities=identities,
        log=log,
        owner=parts.labels[SERVICE_LABEL],
    )

    def runner_for(run: Run, project: Project, options: RunOptions) -> StageRunner:
        """Innermost first: a known result needs no image and no place, and its lines are those of its run."""
        scheduled = ScheduledStageRunner(
            ExplainingStageRunner(RetryingStageRunner(container, identities)),
            places=places,
            rank=RankStages(cache),
            run=run,
            project=project,
            options=options,
        )
        ready = ImageStageRunner(LoggedStageRunner(scheduled, keep_logs), ready=parts.images)
        caching = CachingStageRunner(ready, find=find, cache=cache, objects=parts.objects, clock=clock)
        merging = MergingStageRunner(caching, flights=flights, lease=lease, find=find, logs=parts.logs)
        return KnownStageRunner(merging, find=find)

    drive = DriveRun(
        attempt=RestoreInputs(
            attempt=AttemptStage(
                resolve=resolve,
                recorded=recorded,
                find=find,
                logs=parts.logs,
                clock=clock,
                identities=identities,
                note_use=note_use,
                node=settings.node,
            ),
            find_vanished=find_vanished,
        ),
        runner_for=runner_for,
        runs=runs,
        write_backs=WriteBacks(
            put=put,
            index=index,
            legacy=legacy,
            publish=PublishLegacy(objects=parts.objects, index=index, read=read, legacy=legacy, log=log),
        ),
        clock=clock,
        log=log,
    )
    stack.push_async_callback(drive.close)
    return RpcServer(
        Servicers(
            blobs=BlobServicer(
                put=put,
                send=SendBlobs(node=parts.node, objects=parts.objects, index=index),
                direct=direct,
                check=CheckBlobs(
                    objects=parts.objects,
                    index=index,
                    spool=spool,
                    chance=random.Random(),  # noqa: S311 - chooses samples
                ),
            ),
            cache=build_cache_servicer(parts, index=index, runs=runs, clock=clock),
            pipelines=PipelineServicer(
                describe=DescribePipeline(read_project),
                plan=plan,
                explain=ExplainStage(plan=plan, runs=runs, cache=cache, nearest=nearest),
                compare=CompareWithLock(
                    read_project=read_project,
                    index=index,
                    adopt=adopt,
                    read=read,
                    legacy=legacy,
                    adopt_legacy=adopt_legacy,
                ),
                add_stage=AddStage(ReadDvcFiles(put=put, read=read)),
                lint=LintProject(ReadDvcFiles(put=put, read=read)),
                composer=composer,
            ),
            results=_results(put=put, read=read, index=index, adopt=adopt, runs=runs, snapshots=snapshots),
            runs=RunServicer(
                submit=SubmitRun(
                    open_project=open_project,
                    check_secrets=CheckSecrets(parts.secrets),
                    runs=runs,
                    drive=drive,
                    clock=clock,
                    note_use=note_use,
                    snapshots=snapshots,
                ),
                submissions=SqlSubmissionStore(parts.database),
                runs=runs,
                drive=drive,
                follow=FollowRun(
                    runs=runs,
                    logs=parts.logs,
                    replay=ReplayLog(archive=parts.log_archive, keep=keep_logs, clock=clock),
                ),
            ),
            secrets=SecretServicer(KeepSecrets(store=parts.secrets, clock=clock)),
            system=SystemServicer(
                facts=_facts(settings, store),
                engine=parts.engine,
                leftovers=leftovers,
                check=CheckService(
                    leftovers=leftovers,
                    engine=parts.engine,
                    network=parts.network,
                    store=parts.check_store,
                    free_bytes=lambda: shutil.disk_usage(settings.home).free,
                    home=str(settings.home),
                    sees_reads=parts.workspaces.sees_reads,
                ),
                clock=clock,
            ),
        ),
        token=read_or_make_token(settings),
        log=log,
    )


def _results(
    *,
    put: PutBlobs,
    read: ReadBlobs,
    index: BlobIndex,
    adopt: AdoptBlobs,
    runs: RunStore,
    snapshots: KeepSnapshot,
) -> ResultServicer:
    results = ReadResults(
        read=ReadDvcFiles(put=put, read=read),
        find=FindContents(index=index, adopt=adopt, put=put, read=read),
    )
    return ResultServicer(
        results=results,
        of_run=ReadRunResults(results=results, runs=runs, snapshots=snapshots),
        snapshots=snapshots,
        runs=runs,
    )


def _facts(settings: Settings, store: Store) -> SystemFacts:
    prefix = settings.s3_prefix.strip("/")
    return SystemFacts(
        version=importlib.metadata.version("wherry"),
        node=settings.node,
        default_image=settings.default_image,
        store_url=f"s3://{store.bucket}" + (f"/{prefix}" if prefix else ""),
        s3_endpoint=store.endpoint,
        s3_region=settings.s3_region,
        access_key=store.access_key,
        secret_key=store.secret_key,
    )
