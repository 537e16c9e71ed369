"""Build the server around the use cases."""

import contextlib
import importlib.metadata
import random
import shutil

import structlog

from wherry.service.adapters.clock_system import SystemClock
from wherry.service.adapters.tokens_sql import RandomTokenSource
from wherry.service.bootstrap.cache_service import build_cache_servicer
from wherry.service.bootstrap.content import Content, open_content
from wherry.service.bootstrap.driving import Driving, open_driving
from wherry.service.bootstrap.parts import Parts
from wherry.service.bootstrap.projects import Projects, build_projects
from wherry.service.bootstrap.store import Store
from wherry.service.config import Settings, read_or_make_token
from wherry.service.domain.resources import allotted
from wherry.service.ports.clock import Clock
from wherry.service.rpc.blobs import BlobServicer
from wherry.service.rpc.pipelines import PipelineServicer
from wherry.service.rpc.results import ResultServicer
from wherry.service.rpc.runs import RunServicer
from wherry.service.rpc.secrets import SecretServicer
from wherry.service.rpc.server import RpcServer, Servicers
from wherry.service.rpc.system import SystemFacts, SystemServicer
from wherry.service.rpc.tokens import TokenServicer
from wherry.service.usecases.add_stage import AddStage
from wherry.service.usecases.check_blobs import CheckBlobs
from wherry.service.usecases.check_packs import CheckPacks
from wherry.service.usecases.check_service import CheckService
from wherry.service.usecases.compare_with_lock import CompareWithLock
from wherry.service.usecases.describe_pipeline import DescribePipeline
from wherry.service.usecases.explain_stage import ExplainStage
from wherry.service.usecases.find_contents import FindContents
from wherry.service.usecases.follow_run import FollowRun
from wherry.service.usecases.keep_secrets import CheckSecrets, KeepSecrets
from wherry.service.usecases.keep_tokens import FindCaller, KeepTokens
from wherry.service.usecases.lint_project import LintProject
from wherry.service.usecases.read_results import ReadResults
from wherry.service.usecases.read_run_results import ReadRunResults
from wherry.service.usecases.replay_log import ReplayLog
from wherry.service.usecases.send_blobs import SendBlobs
from wherry.service.usecases.stop_run import StopRun
from wherry.service.usecases.submit_run import SubmitRun


async def build_server(
    settings: Settings, store: Store, parts: Parts, stack: contextlib.AsyncExitStack
) -> RpcServer:
    """Put everything together over the parts, and take up what an earlier life of the service left."""
    log, clock = structlog.get_logger("wherry"), SystemClock()
    # Before anything could run: a runtime class that is not there must not become another one.
    await parts.engine.lacks_of_isolation()
    machine = allotted(
        await parts.engine.machine(),
        at_once=settings.jobs,
        cpus=settings.stage_cpus,
        memory_bytes=None if settings.stage_memory_gb is None else int(settings.stage_memory_gb * 10**9),
        gpus=settings.stage_gpus,
    )
    content = await open_content(settings.home, parts, clock=clock, log=log, stack=stack)
    projects = build_projects(settings, parts, content, machine)
    driving = await open_driving(
        settings, parts, content, projects, machine=machine, clock=clock, log=log, stack=stack
    )
    servicers = Servicers(
        blobs=_blobs(parts, content),
        cache=build_cache_servicer(parts, content=content, runs=driving.runs, clock=clock),
        pipelines=_pipelines(content, projects, driving),
        results=_results(content, projects, driving),
        runs=_runs(parts, content, projects, driving, clock=clock),
        secrets=SecretServicer(KeepSecrets(store=parts.secrets, clock=clock)),
        system=_system(settings, store, parts, driving, clock=clock),
        tokens=TokenServicer(KeepTokens(store=parts.tokens, source=RandomTokenSource(), clock=clock)),
    )
    return RpcServer(
        servicers,
        token=read_or_make_token(settings),
        find_caller=FindCaller(store=parts.tokens, clock=clock),
        log=log,
    )


def _blobs(parts: Parts, content: Content) -> BlobServicer:
    return BlobServicer(
        put=content.put,
        sources=content.sources,
        send=SendBlobs(node=parts.node, objects=parts.objects, index=content.index),
        direct=content.direct,
        check=CheckBlobs(
            objects=parts.objects,
            index=content.index,
            packs=CheckPacks(objects=parts.objects, packs=parts.packs, reconcile=content.reconcile),
            spool=content.spool,
            chance=random.Random(),  # noqa: S311 - chooses samples
        ),
    )


def _pipelines(content: Content, projects: Projects, driving: Driving) -> PipelineServicer:
    return PipelineServicer(
        describe=DescribePipeline(projects.read),
        plan=projects.plan,
        explain=ExplainStage(
            plan=projects.plan, runs=driving.runs, cache=projects.cache, nearest=projects.nearest
        ),
        compare=CompareWithLock(
            read_project=projects.read,
            index=content.index,
            sources=content.sources,
            adopt=content.adopt,
            read=content.read,
            legacy=content.legacy,
            adopt_legacy=content.adopt_legacy,
        ),
        add_stage=AddStage(projects.files),
        lint=LintProject(projects.files),
        composer=projects.composer,
    )


def _results(content: Content, projects: Projects, driving: Driving) -> ResultServicer:
    results = ReadResults(
        read=projects.files,
        find=FindContents(
            index=content.index, adopt=content.adopt, sources=content.sources, read=content.read
        ),
    )
    return ResultServicer(
        results=results,
        of_run=ReadRunResults(results=results, runs=driving.runs, snapshots=content.snapshots),
        snapshots=content.snapshots,
        runs=driving.runs,
    )


def _runs(
    parts: Parts, content: Content, projects: Projects, driving: Driving, *, clock: Clock
) -> RunServicer:
    return RunServicer(
        submit=SubmitRun(
            open_project=projects.open,
            check_secrets=CheckSecrets(parts.secrets),
            runs=driving.runs,
            drive=driving.drive,
            clock=clock,
            note_use=content.note_use,
            snapshots=content.snapshots,
        ),
        submissions=driving.submissions,
        runs=driving.runs,
        stop=StopRun(runs=driving.runs, drive=driving.drive),
        follow=FollowRun(
            runs=driving.runs,
            logs=parts.logs,
            replay=ReplayLog(logs=parts.logs, archive=parts.log_archive, keep=driving.keep_logs, clock=clock),
        ),
    )


def _system(
    settings: Settings, store: Store, parts: Parts, driving: Driving, *, clock: Clock
) -> SystemServicer:
    return SystemServicer(
        facts=_facts(settings, store),
        engine=parts.engine,
        leftovers=driving.leftovers,
        check=CheckService(
            leftovers=driving.leftovers,
            engine=parts.engine,
            network=parts.network,
            store=parts.check_store,
            free_bytes=lambda: shutil.disk_usage(settings.home).free,
            home=str(settings.home),
            sees_reads=parts.workspaces.sees_reads,
        ),
        clock=clock,
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
