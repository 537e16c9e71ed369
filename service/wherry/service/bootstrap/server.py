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
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.adapters.runs_sql import SqlRunStore
from wherry.service.adapters.submissions_sql import SqlSubmissionStore
from wherry.service.adapters.traces_docker import SERVICE_LABEL, DockerTraces
from wherry.service.bootstrap.cache_service import build_cache_servicer
from wherry.service.bootstrap.parts import Parts
from wherry.service.bootstrap.runners import RunnerParts, Runners
from wherry.service.bootstrap.store import Store
from wherry.service.config import Settings, read_or_make_token
from wherry.service.domain.resources import allotted
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.runs import RunStore
from wherry.service.rpc.blobs import BlobServicer
from wherry.service.rpc.pipelines import PipelineServicer
from wherry.service.rpc.results import ResultServicer
from wherry.service.rpc.runs import RunServicer, read_submission
from wherry.service.rpc.secrets import SecretServicer
from wherry.service.rpc.server import RpcServer, Servicers
from wherry.service.rpc.system import SystemFacts, SystemServicer
from wherry.service.usecases.add_stage import AddStage
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.attempt_stage import AttemptStage
from wherry.service.usecases.check_blobs import CheckBlobs
from wherry.service.usecases.check_data import CheckData
from wherry.service.usecases.check_service import CheckService
from wherry.service.usecases.compare_with_lock import CompareWithLock
from wherry.service.usecases.describe_pipeline import DescribePipeline
from wherry.service.usecases.direct_blobs import DirectBlobs
from wherry.service.usecases.drive_run import DriveRun
from wherry.service.usecases.explain_stage import ExplainStage
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
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.keep_secrets import CheckSecrets, KeepSecrets
from wherry.service.usecases.keep_snapshot import KeepSnapshot
from wherry.service.usecases.keep_succeeded import KeepSucceeded
from wherry.service.usecases.lint_project import LintProject
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.plan_run import PlanRun
from wherry.service.usecases.publish_legacy import PublishLegacy
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_dvc_files import ReadDvcFiles
from wherry.service.usecases.read_ignore_rules import ReadIgnoreRules
from wherry.service.usecases.read_project import ReadProject
from wherry.service.usecases.read_results import ReadResults
from wherry.service.usecases.read_run_results import ReadRunResults
from wherry.service.usecases.recover_runs import RecoverRuns
from wherry.service.usecases.remains import Remains
from wherry.service.usecases.reopen_run import ReopenRun
from wherry.service.usecases.replay_log import ReplayLog
from wherry.service.usecases.resolve_builds import ResolveBuilds
from wherry.service.usecases.resolve_images import ResolveImages
from wherry.service.usecases.resolve_requirements import ResolveRequirements
from wherry.service.usecases.resolve_stage import ResolveStage
from wherry.service.usecases.restore_inputs import RestoreInputs
from wherry.service.usecases.send_blobs import SendBlobs
from wherry.service.usecases.set_params import SetParams
from wherry.service.usecases.stop_run import StopRun
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
    spool = settings.home / "uploads"
    spool.mkdir(exist_ok=True)
    runs = SqlRunStore(
        parts.database,
        random.Random(),  # noqa: S311 - chooses names for runs
        owner=parts.labels[SERVICE_LABEL],
    )
    submissions = SqlSubmissionStore(parts.database)
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
    plan = PlanRun(
        open_project=open_project,
        resolve=resolve,
        recorded=recorded,
        find=find,
        nearest=nearest,
        server_settings={
            "image": settings.default_image,
            "pull": settings.pull,
            "network": "allow" if parts.network.gives(None)[0] else "deny",
        },
    )
    keep_logs = KeepLogs(logs=parts.logs, archive=parts.log_archive, log=log)
    stack.push_async_callback(keep_logs.close)
    made = RunnerParts(
        cache=cache, find=find, put=put, keep_logs=keep_logs, clock=clock, identities=identities, log=log
    )
    runners = Runners(settings, parts, machine, made)
    leftovers = FindLeftovers(
        traces=DockerTraces(parts.engine),
        service=parts.labels[SERVICE_LABEL],
        at_work=lambda home: is_at_work(Path(home)),
        going=lambda: runners.going,
    )
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
        runner_for=runners.for_run,
        runs=runs,
        keep_succeeded=KeepSucceeded(resolve),
        reopen=ReopenRun(submissions=submissions, read_submission=read_submission, open_project=open_project),
        write_backs=WriteBacks(
            put=put,
            index=index,
            legacy=legacy,
            publish=PublishLegacy(objects=parts.objects, index=index, read=read, legacy=legacy, log=log),
        ),
        clock=clock,
        log=log,
    )
    recover = RecoverRuns(
        runs=runs, drive=drive, leftovers=runners.leftovers, workspaces=parts.workspaces, clock=clock, log=log
    )
    await recover.start()
    stack.push_async_callback(_leave, recover, drive, runners.remains)
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
                submissions=submissions,
                runs=runs,
                stop=StopRun(runs=runs, drive=drive),
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


async def _leave(recover: RecoverRuns, drive: DriveRun, remains: Remains) -> None:
    """Stop without stopping what runs: containers go on, and are taken up when the service is back."""
    remains.stay = True
    await recover.close()
    await drive.close()


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
