"""Start the service, tell where it is, and stop it."""

import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from wherry.service.adapters.home_lock import hold_home
from wherry.service.bootstrap.collector import set_up_collector
from wherry.service.bootstrap.last_ports import LastPorts
from wherry.service.bootstrap.parts import open_parts
from wherry.service.bootstrap.server import build_server
from wherry.service.bootstrap.store import Store, open_store
from wherry.service.config import Settings
from wherry.service.rpc.server import RpcServer

# Calls under way at a stop get this long to end by themselves.
_GRACE_S = 2.0

_LOOPBACK = ("127.", "localhost:", "[::1]:")


@contextlib.asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[None]:
    """Start everything, tell where it is in home/service.json, and stop everything at the end.

    Raises:
        Unavailable: if a part that the service stands on does not answer.
    """
    set_up_collector()
    home = settings.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = structlog.get_logger("wherry")
    facts_file = home / "service.json"
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(hold_home(home))
        ports = LastPorts(home / "ports.json")
        store = await open_store(settings, ports, stack)
        parts = await open_parts(settings, store, stack)
        server = await build_server(settings, store, parts, stack)
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


async def _listen(server: RpcServer, listen: str, ports: LastPorts) -> int:
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
