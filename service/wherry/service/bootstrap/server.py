"""Build the use cases and the server around them."""

import contextlib
import hashlib
import importlib.metadata
import random
import shutil

import structlog

from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.clock_system import SystemClock, SystemIdentities
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.adapters.runs_sql import SqlRunStore
from wherry.service.bootstrap.parts import Parts
from wherry.service.bootstrap.store import Store
from wherry.service.config import Settings, read_or_make_token
from wherry.service.domain.run import Run
from wherry.service.domain.submission import RunOptions
from wherry.service.ports.stages import StageRunner
from wherry.service.rpc.blobs import BlobServicer
from wherry.service.rpc.pipelines import PipelineServicer
from wherry.service.rpc.runs import RunServicer
from wherry.service.rpc.server import RpcServer, Servicers
from wherry.service.rpc.system import SystemFacts, SystemServicer
from wherry.service.usecases.add_stage import AddStage
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.attempt_stage import AttemptStage
from wherry.service.usecases.caching_runner import CachingStageRunner
from wherry.service.usecases.check_blobs import CheckBlobs
from wherry.service.usecases.check_data import CheckData
from wherry.service.usecases.check_service import CheckService
from wherry.service.usecases.compare_with_lock import CompareWithLock
from wherry.service.usecases.container_runner import ContainerStageRunner
from wherry.service.usecases.describe_pipeline import DescribePipeline
from wherry.service.usecases.direct_blobs import DirectBlobs
from wherry.service.usecases.drive_run import DriveRun
from wherry.service.usecases.explain_stage import ExplainStage
from wherry.service.usecases.find_dvc_result import FindDvcResult
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_nearest_result import FindNearestResult
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.find_vanished import FindVanished
from wherry.service.usecases.follow_run import FollowRun
from wherry.service.usecases.forget_blobs import ForgetBlobs
from wherry.service.usecases.limited_runner import LimitedStageRunner
from wherry.service.usecases.lint_project import LintProject
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.plan_run import PlanRun
from wherry.service.usecases.publish_legacy import PublishLegacy
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_dvc_files import ReadDvcFiles
from wherry.service.usecases.read_ignore_rules import ReadIgnoreRules
from wherry.service.usecases.read_project import Project, ReadProject
from wherry.service.usecases.recover_runs import RecoverRuns
from wherry.service.usecases.resolve_images import ResolveImages
from wherry.service.usecases.resolve_stage import ResolveStage
from wherry.service.usecases.restore_inputs import RestoreInputs
from wherry.service.usecases.run_container import RunContainer
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
    log, clock = structlog.get_logger("wherry"), SystemClock()
    index, cache = SqlBlobIndex(parts.database, clock), SqlRunCache(parts.database)
    runs = SqlRunStore(parts.database, random.Random())  # noqa: S311 - chooses names for runs
    spool = settings.home / "uploads"
    spool.mkdir(exist_ok=True)
    labels = {"wherry.home": hashlib.sha256(str(settings.home).encode()).hexdigest()[:16]}
    await RecoverRuns(
        runs=runs, engine=parts.engine, workspaces=parts.workspaces, clock=clock, log=log, labels=labels
    )()

    put = PutBlobs(
        objects=parts.objects, index=index, node=parts.node, spool=spool, first_stays=parts.first_stays
    )
    read = ReadBlobs(parts.node)
    direct = DirectBlobs(transfers=parts.transfers, objects=parts.objects, index=index)
    await direct.sweep()
    adopt = AdoptBlobs(index=index, objects=parts.objects, read=read)
    note_use = NoteUse(index=index, log=log)
    stack.push_async_callback(note_use.close)
    composer = HydraParamComposer(at_once=_COMPOSITIONS_AT_ONCE)
    read_project = ReadProject(
        put=put, read=read, set_params=SetParams(put=put, read=read, composer=composer)
    )
    legacy = FindLegacyHashes(index=index, read=read, node=parts.node)
    find_vanished = FindVanished(
        adopt=adopt,
        forget=ForgetBlobs(objects=parts.objects, index=index),
        index=index,
        read=read,
        log=log,
    )
    open_project = OpenProject(
        read=read_project,
        check=CheckData(index=index, adopt=adopt, read=read),
        rules=ReadIgnoreRules(read),
        images=ResolveImages(engine=parts.engine, default_image=settings.default_image),
        find_vanished=find_vanished,
    )
    dvc = FindDvcResult(objects=parts.objects, index=index, adopt=adopt, read=read)
    find, nearest = FindResult(cache=cache, index=index, adopt=adopt, dvc=dvc), FindNearestResult(cache)
    resolve = ResolveStage(index=index, read=read, legacy=legacy, network=settings.network)
    plan = PlanRun(open_project=open_project, resolve=resolve, find=find, nearest=nearest)
    uid, gid = settings.stage_user
    container = ContainerStageRunner(
        run_container=RunContainer(engine=parts.engine, clock=clock),
        workspaces=parts.workspaces,
        put=put,
        user=f"{uid}:{gid}",
        labels=labels,
    )
    places = LimitedStageRunner(container, at_once=settings.jobs)

    def runner_for(_run: Run, _project: Project, options: RunOptions) -> StageRunner:
        """Outermost first: a known result needs no place; a run's own limit comes before that of all."""
        limited = LimitedStageRunner(places, at_once=options.jobs) if options.jobs else places
        return CachingStageRunner(limited, find=find, cache=cache, objects=parts.objects, clock=clock)

    drive = DriveRun(
        attempt=RestoreInputs(
            attempt=AttemptStage(
                resolve=resolve,
                find=find,
                logs=parts.logs,
                clock=clock,
                identities=SystemIdentities(),
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
            pipelines=PipelineServicer(
                describe=DescribePipeline(read_project),
                plan=plan,
                explain=ExplainStage(plan=plan, runs=runs, cache=cache, nearest=nearest),
                compare=CompareWithLock(
                    read_project=read_project, index=index, adopt=adopt, read=read, legacy=legacy
                ),
                add_stage=AddStage(ReadDvcFiles(put=put, read=read)),
                lint=LintProject(ReadDvcFiles(put=put, read=read)),
                composer=composer,
            ),
            runs=RunServicer(
                submit=SubmitRun(
                    open_project=open_project, runs=runs, drive=drive, clock=clock, note_use=note_use
                ),
                runs=runs,
                drive=drive,
                follow=FollowRun(runs=runs, logs=parts.logs),
            ),
            system=SystemServicer(
                facts=_facts(settings, store),
                engine=parts.engine,
                check=CheckService(
                    engine=parts.engine,
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
