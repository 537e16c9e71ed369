"""Wiring: the only place that chooses adapters and puts the parts of the service together."""

import asyncio
import contextlib
import hashlib
import importlib.metadata
import json
import os
import random
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.clock_system import SystemClock, SystemIdentities
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.database import Database
from wherry.service.adapters.direct_transfers_s3 import S3DirectTransfers
from wherry.service.adapters.logs_files import FileLogStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.objects_obstore import ObstoreObjectStore
from wherry.service.adapters.objects_s3 import S3Settings
from wherry.service.adapters.param_composer_hydra import HydraParamComposer
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.adapters.runs_sql import SqlRunStore
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer
from wherry.service.adapters.store_probe_s3 import S3StoreProbe
from wherry.service.adapters.workspaces_local import LocalWorkspaces
from wherry.service.config import Settings, read_or_make_token
from wherry.service.domain.errors import StoreUnavailable
from wherry.service.domain.findings import Finding, FindingState
from wherry.service.ports.event_log import EventLog
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
from wherry.service.usecases.check_store import CheckStore
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
from wherry.service.usecases.follow_run import FollowRun
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
from wherry.service.usecases.read_project import ReadProject
from wherry.service.usecases.record_content import RecordContent
from wherry.service.usecases.recover_runs import RecoverRuns
from wherry.service.usecases.resolve_images import ResolveImages
from wherry.service.usecases.resolve_stage import ResolveStage
from wherry.service.usecases.set_params import SetParams
from wherry.service.usecases.submit_run import SubmitRun
from wherry.service.usecases.write_backs import WriteBacks

# Calls under way at a stop get this long to end by themselves.
_GRACE_S = 2.0


# Of the embedded store. Bucket names have three characters or more.
_OWN_BUCKET = "wherry"

# Each is a process that may use a gigabyte.
_COMPOSITIONS_AT_ONCE = 2

_LOOPBACK = ("127.", "localhost:", "[::1]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where the bucket is."""

    bucket: str
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)


@contextlib.asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[None]:
    """Start everything, tell where it is in home/service.json, and stop everything at the end.

    Raises:
        Unavailable: if a part that the service stands on does not answer.
    """
    home = settings.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = structlog.get_logger("wherry")
    facts_file = home / "service.json"
    async with contextlib.AsyncExitStack() as stack:
        ports = _LastPorts(home / "ports.json")
        store = await _open_store(settings, ports, stack)
        parts = await _open_parts(settings, store, stack)
        server = await _build_server(settings, store, parts, stack)
        port = await _listen(server, settings.listen, ports)
        stack.push_async_callback(server.stop, _GRACE_S)
        host = settings.listen.rpartition(":")[0]
        _write_facts(facts_file, settings, store, f"grpc://{host}:{port}")
        stack.callback(facts_file.unlink, missing_ok=True)
        if not settings.listen.startswith(_LOOPBACK):
            log.warning(
                "the listener is not encrypted: put a proxy with TLS before it", listen=settings.listen
            )
        log.info("serving", address=f"grpc://{host}:{port}", home=str(home))
        yield
        log.info("stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The adapters."""

    database: Database
    objects: ObstoreObjectStore
    transfers: S3DirectTransfers
    engine: DockerContainerEngine
    node: LocalNodeCache
    workspaces: LocalWorkspaces
    logs: FileLogStore
    check_store: CheckStore


class _LastPorts:
    """Ports that were used last, so that addresses which people wrote down stay true."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name: str) -> int | None:
        return self._ports.get(name)

    def keep(self, name: str, port: int) -> None:
        self._ports[name] = port
        self._path.write_text(json.dumps(self._ports))


async def _open_store(settings: Settings, ports: _LastPorts, stack: contextlib.AsyncExitStack) -> Store:
    if not settings.uses_embedded_store:
        return Store(
            bucket=settings.s3_bucket,
            endpoint=settings.s3_endpoint,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key.get_secret_value(),
        )
    server = SeaweedServer(settings.home / "s3", port=ports.get("s3"))
    try:
        await server.start()
    except StoreUnavailable:
        if ports.get("s3") is None:
            raise
        # Somebody else has the port of last time.
        server = SeaweedServer(settings.home / "s3")
        await server.start()
    stack.push_async_callback(server.stop)
    watch = asyncio.create_task(server.keep_running(structlog.get_logger("wherry")))
    stack.push_async_callback(_end, watch)
    ports.keep("s3", urlsplit(server.endpoint).port or 0)
    return Store(
        bucket=_OWN_BUCKET,
        endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def _open_parts(settings: Settings, store: Store, stack: contextlib.AsyncExitStack) -> _Parts:
    home = settings.home
    database = await Database.open(settings.database_url or f"sqlite:///{home / 'wherry.db'}")
    stack.push_async_callback(database.close)
    s3 = S3Settings(
        bucket=store.bucket,
        prefix=settings.s3_prefix,
        region=settings.s3_region,
        endpoint_url=store.endpoint or None,
        access_key=store.access_key or None,
        secret_key=store.secret_key or None,
        path_style=settings.s3_path_style,
        ca_bundle=settings.s3_ca_bundle or None,
    )
    objects = ObstoreObjectStore.connect(s3)
    stack.push_async_callback(objects.close)
    public = replace(s3, endpoint_url=settings.s3_public_endpoint or s3.endpoint_url)
    transfers = S3DirectTransfers.connect(s3, public=public)
    stack.push_async_callback(transfers.close)
    await objects.ensure_bucket()
    probe = S3StoreProbe(s3)
    stack.callback(probe.close)
    check_store = CheckStore(probe, random.Random())  # noqa: S311 - chooses keys
    _refuse_unfit(await check_store(), structlog.get_logger("wherry"))
    engine = DockerContainerEngine(parallel_max=settings.jobs)
    stack.callback(engine.close)
    cache_gb = settings.node_cache_gb
    record = RecordContent(index=SqlBlobIndex(database, SystemClock()), log=structlog.get_logger("wherry"))
    stack.push_async_callback(record.close)
    node = LocalNodeCache(
        home / "node",
        store=objects,
        bytes_max=None if cache_gb is None else int(cache_gb * 10**9),
        fetched=record,
    )
    stack.callback(node.close)
    uid, gid = settings.stage_user
    workspaces = LocalWorkspaces(home / "workspaces", cache=node, uid=uid, gid=gid)
    stack.callback(workspaces.close)
    logs = FileLogStore(home / "logs")
    stack.callback(logs.close)
    return _Parts(
        database=database,
        objects=objects,
        transfers=transfers,
        engine=engine,
        node=node,
        workspaces=workspaces,
        logs=logs,
        check_store=check_store,
    )


def _refuse_unfit(findings: Sequence[Finding], log: EventLog) -> None:
    """Say what the store cannot do; without what is needed there is no service.

    Raises:
        StoreUnavailable: naming all of it.
    """
    for finding in findings:
        if finding.state is FindingState.WARNING:
            log.warning(
                "the store lacks something", check=finding.name, said=finding.message, hint=finding.hint
            )
    failed = [finding for finding in findings if finding.state is FindingState.FAILED]
    if failed:
        said = "; ".join(f"{finding.name}: {finding.message}" for finding in failed)
        raise StoreUnavailable(f"the store cannot be used: {said}", hint=failed[0].hint)


async def _build_server(
    settings: Settings, store: Store, parts: _Parts, stack: contextlib.AsyncExitStack
) -> RpcServer:
    log, clock = structlog.get_logger("wherry"), SystemClock()
    index, cache = SqlBlobIndex(parts.database, clock), SqlRunCache(parts.database)
    runs = SqlRunStore(parts.database, random.Random())  # noqa: S311 - chooses names for runs
    spool = settings.home / "uploads"
    spool.mkdir(exist_ok=True)
    labels = {"wherry.home": hashlib.sha256(str(settings.home).encode()).hexdigest()[:16]}
    await RecoverRuns(
        runs=runs, engine=parts.engine, workspaces=parts.workspaces, clock=clock, log=log, labels=labels
    )()

    put = PutBlobs(objects=parts.objects, index=index, node=parts.node, spool=spool)
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
    open_project = OpenProject(
        read=read_project,
        check=CheckData(index=index, adopt=adopt, read=read),
        rules=ReadIgnoreRules(read),
        images=ResolveImages(engine=parts.engine, default_image=settings.default_image),
    )
    dvc = FindDvcResult(objects=parts.objects, index=index, adopt=adopt, read=read)
    find, nearest = FindResult(cache=cache, index=index, adopt=adopt, dvc=dvc), FindNearestResult(cache)
    resolve = ResolveStage(index=index, read=read, legacy=legacy, network=settings.network)
    plan = PlanRun(open_project=open_project, resolve=resolve, find=find, nearest=nearest)
    uid, gid = settings.stage_user
    container = ContainerStageRunner(
        engine=parts.engine,
        workspaces=parts.workspaces,
        put=put,
        clock=clock,
        user=f"{uid}:{gid}",
        labels=labels,
    )
    places = LimitedStageRunner(container, at_once=settings.jobs)

    def runner_for(jobs: int) -> StageRunner:
        """Outermost first: a known result needs no place; a run's own limit comes before that of all."""
        limited = LimitedStageRunner(places, at_once=jobs) if jobs else places
        return CachingStageRunner(limited, find=find, cache=cache, objects=parts.objects, clock=clock)

    drive = DriveRun(
        attempt=AttemptStage(
            resolve=resolve,
            find=find,
            logs=parts.logs,
            clock=clock,
            identities=SystemIdentities(),
            note_use=note_use,
            node=settings.node,
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
                read=read,
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
                ),
                clock=clock,
            ),
        ),
        token=read_or_make_token(settings),
        log=log,
    )


async def _listen(server: RpcServer, listen: str, ports: _LastPorts) -> int:
    host, _, wanted = listen.rpartition(":")
    if wanted != "0":
        return await server.start(listen)
    last = ports.get("grpc")
    port = await server.start(f"{host}:{last if last and _is_free(host, last) else 0}")
    ports.keep("grpc", port)
    return port


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


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


def _write_facts(path: Path, settings: Settings, store: Store, address: str) -> None:
    """Tell clients of this machine where the service is. It holds no secret: the token has its own file."""
    facts = {
        "pid": os.getpid(),
        "address": address,
        "home": str(settings.home),
        "token_file": str(settings.home / "token"),
        "s3_endpoint": store.endpoint,
    }
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(facts))
    temporary.replace(path)
