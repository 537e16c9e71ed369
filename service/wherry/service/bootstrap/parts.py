"""Choose the adapters and open them."""

import contextlib
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.clock_system import SystemClock
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.database import Database
from wherry.service.adapters.direct_transfers_s3 import S3DirectTransfers
from wherry.service.adapters.image_store_docker import DockerImageStore
from wherry.service.adapters.log_archive_objects import ObjectLogArchive
from wherry.service.adapters.logs_files import FileLogStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.objects_http import HttpObjectStore
from wherry.service.adapters.packs_sql import SqlPackIndex
from wherry.service.adapters.secrets_sql import SqlSecretStore, read_or_make_key
from wherry.service.adapters.store_probe_s3 import S3StoreProbe
from wherry.service.adapters.tokens_sql import SqlTokenStore
from wherry.service.adapters.traces_docker import HOME_LABEL, SERVICE_LABEL
from wherry.service.adapters.workspaces_local import LocalWorkspaces
from wherry.service.bootstrap.images import open_images
from wherry.service.bootstrap.network import network_policy, stage_network
from wherry.service.bootstrap.store import Store
from wherry.service.config import Settings
from wherry.service.domain.errors import StoreUnavailable
from wherry.service.domain.findings import Finding, FindingState
from wherry.service.domain.network import NetworkPolicy
from wherry.service.ports.event_log import EventLog
from wherry.service.usecases.check_service import check_reads
from wherry.service.usecases.check_store import ONLY_NEW, CheckStore
from wherry.service.usecases.forget_blobs import ForgetBlobs
from wherry.service.usecases.notice_absent import NoticeAbsent
from wherry.service.usecases.read_packs import ReadPacks
from wherry.service.usecases.ready_images import ReadyImages
from wherry.service.usecases.record_content import RecordContent


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The adapters."""

    database: Database
    objects: HttpObjectStore
    transfers: S3DirectTransfers
    engine: DockerContainerEngine
    image_store: DockerImageStore
    images: ReadyImages
    secrets: SqlSecretStore
    tokens: SqlTokenStore
    labels: dict[str, str]
    """What containers and networks of this service carry."""
    network: NetworkPolicy
    packs: SqlPackIndex
    pack_reader: ReadPacks
    node: LocalNodeCache
    workspaces: LocalWorkspaces
    logs: FileLogStore
    log_archive: ObjectLogArchive
    check_store: CheckStore
    first_stays: bool
    """Whether the store lets a writer say that nothing may be replaced."""


async def open_parts(settings: Settings, store: Store, stack: contextlib.AsyncExitStack) -> Parts:
    """Open all adapters; `stack` closes them.

    Raises:
        Unavailable: if a part does not answer, or the store cannot do what is needed.
    """
    home = settings.home
    database = await Database.open(settings.database_url or f"sqlite:///{home / 'wherry.db'}")
    stack.push_async_callback(database.close)
    key = read_or_make_key(settings.secrets_key.get_secret_value(), home / "secrets.key")
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
    objects = HttpObjectStore.connect(s3)
    stack.push_async_callback(objects.close)
    public = replace(s3, endpoint_url=settings.s3_public_endpoint or s3.endpoint_url)
    transfers = S3DirectTransfers.connect(s3, public=public)
    stack.push_async_callback(transfers.close)
    await objects.ensure_bucket()
    probe = S3StoreProbe(s3)
    stack.callback(probe.close)
    check_store = CheckStore(probe, random.Random())  # noqa: S311 - chooses keys
    findings = await check_store()
    _refuse_unfit(findings, structlog.get_logger("wherry"))
    labels = {SERVICE_LABEL: hashlib.sha256(str(home).encode()).hexdigest()[:16], HOME_LABEL: str(home)}
    engine = DockerContainerEngine(
        parallel_max=settings.jobs,
        network=stage_network(settings, labels, service=labels[SERVICE_LABEL]),
        runtime=settings.container_runtime,
        networks_ahead=settings.networks_ahead,
    )
    stack.callback(engine.close)
    cache_gb = settings.node_cache_gb
    index, log = SqlBlobIndex(database, SystemClock()), structlog.get_logger("wherry")
    record = RecordContent(index=index, log=log)
    stack.push_async_callback(record.close)
    notice = NoticeAbsent(forget=ForgetBlobs(objects=objects, index=index), index=index, log=log)
    stack.push_async_callback(notice.close)
    packs = SqlPackIndex(database, SystemClock())
    pack_reader = ReadPacks(objects=objects, packs=packs, log=log)
    node = LocalNodeCache(
        home / "node",
        store=objects,
        bytes_max=None if cache_gb is None else int(cache_gb * 10**9),
        fetched=record,
        absent=notice,
        packs=pack_reader,
    )
    stack.callback(node.close)
    image_store, images = open_images(settings, node=node, labels=labels, stack=stack)
    uid, gid = settings.stage_user
    workspaces = LocalWorkspaces(home / "workspaces", cache=node, uid=uid, gid=gid)
    stack.callback(workspaces.close)
    _tell((check_reads(sees=workspaces.sees_reads, home=str(home)),), log)
    logs = FileLogStore(home / "logs")
    stack.callback(logs.close)
    log_archive = ObjectLogArchive(objects, spool=home / "uploads")
    stack.callback(log_archive.close)
    return Parts(
        database=database,
        objects=objects,
        transfers=transfers,
        engine=engine,
        image_store=image_store,
        images=images,
        secrets=SqlSecretStore(database, key=key),
        tokens=SqlTokenStore(database),
        labels=labels,
        network=await network_policy(settings, engine, log, stack),
        packs=packs,
        pack_reader=pack_reader,
        node=node,
        workspaces=workspaces,
        logs=logs,
        log_archive=log_archive,
        check_store=check_store,
        first_stays=any(
            finding.name == ONLY_NEW and finding.state is FindingState.OK for finding in findings
        ),
    )


def _refuse_unfit(findings: Sequence[Finding], log: EventLog) -> None:
    """Say what the store cannot do; without what is needed there is no service.

    Raises:
        StoreUnavailable: naming all of it.
    """
    _tell(findings, log)
    failed = [finding for finding in findings if finding.state is FindingState.FAILED]
    if failed:
        said = "; ".join(f"{finding.name}: {finding.message}" for finding in failed)
        raise StoreUnavailable(f"the store cannot be used: {said}", hint=failed[0].hint)


def _tell(findings: Sequence[Finding], log: EventLog) -> None:
    for finding in findings:
        if finding.state is FindingState.WARNING:
            log.warning(
                "something is not as it should be",
                check=finding.name,
                said=finding.message,
                hint=finding.hint,
            )
