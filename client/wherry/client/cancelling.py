"""Breaking off what runs in another thread: its calls are cancelled, and it cannot begin another.

A thread cannot be stopped from outside; one that talks to a service can be, at its next call or the next piece of a
transfer. Nothing is half written then: files are put into place whole (placing.py).
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from wherry.client.connection import Connection
from wherry.client.errors import Cancelled, ClientError
from wherry.client.progress import Progress


class Scope(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
):
    """The calls that belong to one question. It is an interceptor of gRPC: every call passes through it."""

    def __init__(self) -> None:
        """Begin without calls."""
        self._lock = threading.Lock()
        self._calls: set[grpc.Future[Any]] = set()
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether it was broken off."""
        return self._is_cancelled

    def cancel(self) -> None:
        """Break off what is under way."""
        with self._lock:
            self._is_cancelled = True
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    def check(self) -> None:
        """Go on unless it was broken off.

        Raises:
            Cancelled: if it was.
        """
        if self._is_cancelled:
            raise Cancelled("it was broken off by whoever asked for it")

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Note a call."""
        return self._note(continuation, details, request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Note a call."""
        return self._note(continuation, details, request)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        """Note a call."""
        return self._note(continuation, details, requests)

    def _note(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        self.check()
        call = continuation(details, request)
        with self._lock:
            self._calls.add(call)
        call.add_done_callback(self._forget)
        # It may have been broken off between the two.
        if self._is_cancelled:
            call.cancel()
        return call

    def _forget(self, call: "grpc.Future[Any]") -> None:
        with self._lock:
            self._calls.discard(call)


class ScopedConnection(Connection):
    """A connection whose calls can be broken off together. The channel is that of another connection."""

    def __init__(self, connection: Connection, scope: Scope) -> None:
        """Lend the channel of `connection`."""
        self._lender = connection
        self._scope = scope
        self._user = connection._user  # noqa: SLF001 - its own kind
        self._lock = threading.Lock()
        self._lend()

    def refresh(self) -> None:
        """Look again where the service is, for all that share the channel."""
        self._lender.refresh()
        self._lend()

    def close(self) -> None:
        """Leave the channel open: it is lent."""

    def fault(self, error: grpc.RpcError) -> ClientError:
        """Translate what a call raised."""
        if self._scope.is_cancelled:
            return Cancelled("it was broken off by whoever asked for it")
        return super().fault(error)

    def _lend(self) -> None:
        self._endpoint = self._lender.endpoint
        self._channel = grpc.intercept_channel(self._lender._channel, self._scope)  # noqa: SLF001 - its own kind


class ScopedProgress(Progress):
    """Passes progress on, and ends a transfer that was broken off."""

    def __init__(self, progress: Progress, scope: Scope) -> None:
        """Tell `progress`."""
        self._progress = progress
        self._scope = scope

    def warn(self, text: str) -> None:
        """Pass it on."""
        self._progress.warn(text)

    def detail(self, text: str) -> None:
        """Pass it on."""
        self._progress.detail(text)

    def begin(
        self, verb: str, files: int, size_bytes: int | None, largest: Sequence[tuple[str, int]] = ()
    ) -> None:
        """Pass it on."""
        self._scope.check()
        self._progress.begin(verb, files, size_bytes, largest)

    def advance(self, size_bytes: int) -> None:
        """Pass it on; what is taken back may be so in any case."""
        self._progress.advance(size_bytes)
        if size_bytes > 0:
            self._scope.check()

    def end(self) -> None:
        """Pass it on."""
        self._progress.end()
