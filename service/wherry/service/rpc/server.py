"""The gRPC server: services, interceptors, health and reflection."""

from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from wherry.service.domain.limits import MESSAGE_BYTES_MAX
from wherry.service.ports.event_log import EventLog
from wherry.service.rpc.blobs import BlobServicer
from wherry.service.rpc.cache import CacheServicer
from wherry.service.rpc.caller import TokenInterceptor
from wherry.service.rpc.errors import ErrorInterceptor
from wherry.service.rpc.pipelines import PipelineServicer
from wherry.service.rpc.results import ResultServicer
from wherry.service.rpc.runs import RunServicer
from wherry.service.rpc.secrets import SecretServicer
from wherry.service.rpc.system import SystemServicer
from wherry.service.rpc.tokens import TokenServicer
from wherry.service.usecases.keep_tokens import FindCaller
from wherry.v1 import (
    blobs_pb2,
    blobs_pb2_grpc,
    cache_pb2,
    cache_pb2_grpc,
    pipelines_pb2,
    pipelines_pb2_grpc,
    results_pb2,
    results_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
    secrets_pb2,
    secrets_pb2_grpc,
    system_pb2,
    system_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)

# Clients ping every 30 s so that proxies keep quiet streams open; the server's default would call
# more than one ping in five minutes abuse.
_PING_INTERVAL_MS = 10_000

_NAMES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (blobs_pb2, "BlobService"),
        (cache_pb2, "CacheService"),
        (pipelines_pb2, "PipelineService"),
        (results_pb2, "ResultService"),
        (runs_pb2, "RunService"),
        (secrets_pb2, "SecretService"),
        (system_pb2, "SystemService"),
        (tokens_pb2, "TokenService"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicers:
    """One for each service of the protocol."""

    blobs: BlobServicer
    cache: CacheServicer
    pipelines: PipelineServicer
    results: ResultServicer
    runs: RunServicer
    secrets: SecretServicer
    system: SystemServicer
    tokens: TokenServicer


class RpcServer:
    """Serves the protocol on one address."""

    def __init__(self, servicers: Servicers, *, token: str, find_caller: FindCaller, log: EventLog) -> None:
        """Let callers with `token` in, and those that `find_caller` knows; report bugs to `log`. Needs a running event loop."""
        self._server = grpc.aio.server(
            interceptors=(ErrorInterceptor(log), TokenInterceptor(token, find_caller)),
            options=(
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
                ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.so_reuseport", 0),
            ),
        )
        blobs_pb2_grpc.add_BlobServiceServicer_to_server(servicers.blobs, self._server)
        cache_pb2_grpc.add_CacheServiceServicer_to_server(servicers.cache, self._server)
        pipelines_pb2_grpc.add_PipelineServiceServicer_to_server(servicers.pipelines, self._server)
        results_pb2_grpc.add_ResultServiceServicer_to_server(servicers.results, self._server)
        runs_pb2_grpc.add_RunServiceServicer_to_server(servicers.runs, self._server)
        secrets_pb2_grpc.add_SecretServiceServicer_to_server(servicers.secrets, self._server)
        system_pb2_grpc.add_SystemServiceServicer_to_server(servicers.system, self._server)
        tokens_pb2_grpc.add_TokenServiceServicer_to_server(servicers.tokens, self._server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )

    async def start(self, address: str) -> int:
        """Listen on host:port; port 0 picks a free one. Returns the port."""
        port = self._server.add_insecure_port(address)
        await self._server.start()
        for name in ("", *_NAMES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let those under way end within the grace."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
