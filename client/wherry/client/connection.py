"""One gRPC channel to the service: who calls, how long a call may take, and finding the service again.

Synchronous stubs and threads: `import grpc` loads its asyncio half in any case, so there is nothing to win
by asyncio at start-up, and the transfer and the watching need only a handful of threads.
"""

import json
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import grpc

from wherry.client import __version__
from wherry.client.address import Endpoint
from wherry.client.errors import ClientError
from wherry.client.faults import from_rpc
from wherry.client.streams import hear
from wherry.v1 import (
    blobs_pb2_grpc,
    cache_pb2_grpc,
    pipelines_pb2_grpc,
    results_pb2_grpc,
    runs_pb2_grpc,
    secrets_pb2_grpc,
    system_pb2_grpc,
    tokens_pb2_grpc,
)

Request = TypeVar("Request")
Response = TypeVar("Response")

_MESSAGE_BYTES_MAX = 32 * 1024 * 1024
_KEEPALIVE_MS = 30_000

_RUN_CALLS = ("GetRun", "ListRuns", "SubmitRun", "RetryRun", "CancelRun")
# A call that a lost connection took along is made again where that does no harm: it reads, or the service knows it when
# it comes twice. Streams that are read on by number are resumed by whoever reads them.
_REPEATABLE = (
    *({"service": "wherry.v1.RunService", "method": name} for name in _RUN_CALLS),
    {"service": "wherry.v1.PipelineService"},
    {"service": "wherry.v1.ResultService"},
)
_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": _REPEATABLE,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)

QUICK_S = 30.0
"""Deadline of calls that only look something up."""
LONG_S = 300.0
"""Deadline of calls that read and resolve a whole project."""


class Connection:
    """A channel with the caller's name on every call. Safe to use from several threads."""

    def __init__(self, find: Callable[[], Endpoint], *, user: str) -> None:
        """Connect to what `find` says; it is asked again by refresh()."""
        self._find = find
        self._user = user
        self._lock = threading.Lock()
        self._endpoint = find()
        self._channel = _open_channel(self._endpoint)

    def refresh(self) -> None:
        """Look again where the service is: one that was restarted may have another port."""
        with self._lock:
            try:
                endpoint = self._find()
            except ClientError:  # it may be about to come back
                return
            if endpoint != self._endpoint:
                self._channel.close()
                self._endpoint = endpoint
                self._channel = _open_channel(endpoint)

    def close(self) -> None:
        """End all calls and close the channel."""
        self._channel.close()

    @property
    def endpoint(self) -> Endpoint:
        """The service, as it was found last."""
        return self._endpoint

    @property
    def target(self) -> str:
        """host:port of the service."""
        return self._endpoint.target

    @property
    def blobs(self) -> blobs_pb2_grpc.BlobServiceStub:
        """The service that moves content."""
        return blobs_pb2_grpc.BlobServiceStub(self._channel)

    @property
    def cache(self) -> cache_pb2_grpc.CacheServiceStub:
        """The service that looks after the run cache."""
        return cache_pb2_grpc.CacheServiceStub(self._channel)

    @property
    def pipelines(self) -> pipelines_pb2_grpc.PipelineServiceStub:
        """The service that reads pipelines."""
        return pipelines_pb2_grpc.PipelineServiceStub(self._channel)

    @property
    def results(self) -> results_pb2_grpc.ResultServiceStub:
        """The service that reads results."""
        return results_pb2_grpc.ResultServiceStub(self._channel)

    @property
    def runs(self) -> runs_pb2_grpc.RunServiceStub:
        """The service that runs."""
        return runs_pb2_grpc.RunServiceStub(self._channel)

    @property
    def secrets(self) -> secrets_pb2_grpc.SecretServiceStub:
        """The service that keeps secrets."""
        return secrets_pb2_grpc.SecretServiceStub(self._channel)

    @property
    def system(self) -> system_pb2_grpc.SystemServiceStub:
        """The service that tells about itself."""
        return system_pb2_grpc.SystemServiceStub(self._channel)

    @property
    def tokens(self) -> tokens_pb2_grpc.TokenServiceStub:
        """The service that keeps tokens."""
        return tokens_pb2_grpc.TokenServiceStub(self._channel)

    def unary(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout: float = QUICK_S,
    ) -> Response:
        """Call once; `timeout` in seconds.

        Raises:
            ClientError: of the family that the status says.
        """
        try:
            return method(request, timeout=timeout, metadata=self.metadata())
        except grpc.RpcError as exc:
            raise self.fault(exc) from exc

    def send(
        self, method: "grpc.StreamUnaryMultiCallable[Request, Response]", requests: Iterator[Request]
    ) -> Response:
        """Stream requests and return the answer. No deadline: a large upload takes what it takes.

        Raises:
            ClientError: of the family that the status says.
        """
        try:
            return method(requests, metadata=self.metadata())
        except grpc.RpcError as exc:
            raise self.fault(exc) from exc

    def stream(
        self,
        method: "grpc.UnaryStreamMultiCallable[Request, Response]",
        request: Request,
        timeout: float | None = None,
    ) -> Generator[Response]:
        """Tell what a call answers, one after another; `timeout` in seconds is for all of it.

        Raises:
            ClientError: of the family that the status says.
        """
        try:
            yield from hear(lambda: method(request, timeout=timeout, metadata=self.metadata()))
        except grpc.RpcError as exc:
            raise self.fault(exc) from exc

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call: the client's version, the user's name, the token."""
        entries = [("wherry-client", __version__), ("wherry-user", self._user)]
        if self._endpoint.token:
            entries.append(("authorization", f"Bearer {self._endpoint.token}"))
        return tuple(entries)

    def fault(self, error: grpc.RpcError) -> ClientError:
        """Translate what a call raised."""
        endpoint = self._endpoint
        return from_rpc(error, target=endpoint.target, embedded=endpoint.embedded, origin=endpoint.origin)


def channel_options(endpoint: Endpoint) -> list[tuple[str, int | str]]:
    """How channels are set up, whichever half of gRPC opens them."""
    options: list[tuple[str, int | str]] = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A stage may be silent for hours; the stream must stay open all the same.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    # Loopback never goes through a proxy, whatever http_proxy says.
    return options if endpoint.secure else [*options, ("grpc.enable_http_proxy", 0)]


def _open_channel(endpoint: Endpoint) -> grpc.Channel:
    options = channel_options(endpoint)
    if endpoint.secure:
        return grpc.secure_channel(endpoint.target, grpc.ssl_channel_credentials(system_roots()), options)
    return grpc.insecure_channel(endpoint.target, options)


def system_roots() -> bytes | None:
    """The machine's certificate authorities; None lets gRPC use those it brings."""
    import ssl  # noqa: PLC0415 - only encrypted connections need it, and it is slow to load

    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file and Path(file).is_file() else None
