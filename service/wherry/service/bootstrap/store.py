"""Choose the bucket: a store of our own, or the configured one."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog

from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer
from wherry.service.bootstrap.last_ports import LastPorts
from wherry.service.config import Settings
from wherry.service.domain.errors import StoreUnavailable

# Of the embedded store. Bucket names have three characters or more.
_OWN_BUCKET = "wherry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where the bucket is."""

    bucket: str
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)


async def open_store(settings: Settings, ports: LastPorts, stack: contextlib.AsyncExitStack) -> Store:
    """The configured bucket, or one of a server that is started here and stopped by `stack`."""
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
