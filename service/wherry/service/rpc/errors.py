"""Errors on the wire: the only table from our families to gRPC statuses, and the one place that maps."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from wherry.service.domain.errors import (
    DISK_FULL,
    InvalidInput,
    NotAllowed,
    NotFound,
    Precondition,
    Unavailable,
    WherryError,
    disk_full,
)
from wherry.service.ports.event_log import EventLog
from wherry.service.rpc.context import Context
from wherry.service.rpc.handlers import wrap_behaviour

ERROR_DOMAIN = "wherry"

_STATUS_OF = {
    InvalidInput: code_pb2.INVALID_ARGUMENT,
    NotFound: code_pb2.NOT_FOUND,
    Precondition: code_pb2.FAILED_PRECONDITION,
    NotAllowed: code_pb2.UNAUTHENTICATED,
    Unavailable: code_pb2.UNAVAILABLE,
}


def status_of(error: WherryError) -> status_pb2.Status:
    """Write an error as google.rpc.Status, with reason, hint and place in its ErrorInfo."""
    metadata = {"hint": error.hint} if error.hint else {}
    if error.place is not None:
        metadata |= {
            "path": error.place.path,
            "line": str(error.place.line),
            "column": str(error.place.column),
        }
    status = status_pb2.Status(code=_code_of(type(error)), message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=metadata)
    status.details.add().Pack(info)
    return status


def _code_of(kind: type[WherryError]) -> int:
    for ancestor in kind.__mro__:
        if ancestor in _STATUS_OF:
            return int(_STATUS_OF[ancestor])
    return int(code_pb2.INTERNAL)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns deliberate errors into statuses with details.

    Any other exception is a bug: it is logged with its traceback, and the caller learns only that.
    """

    def __init__(self, log: EventLog) -> None:
        """Report bugs to `log`."""
        self._log = log

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the function of this call, whichever of the four shapes it has."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        return wrap_behaviour(
            handler,
            unary=lambda behaviour: self._unary(behaviour, method),
            stream=lambda behaviour: self._stream(behaviour, method),
        )

    def _unary(self, behaviour: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            try:
                return await behaviour(request, context)
            except WherryError as exc:
                await context.abort_with_status(rpc_status.to_status(status_of(exc)))
            except Exception as exc:  # noqa: BLE001 - the border of the service: told and logged
                await self._abort_as_bug(exc, method, context)

        return call

    def _stream(
        self, behaviour: Callable[..., AsyncIterator[Any]], method: str
    ) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                async for response in behaviour(request, context):
                    yield response
            except WherryError as exc:
                await context.abort_with_status(rpc_status.to_status(status_of(exc)))
            except Exception as exc:  # noqa: BLE001 - the border of the service: told and logged
                await self._abort_as_bug(exc, method, context)

        return call

    async def _abort_as_bug(self, exc: Exception, method: str, context: Context) -> None:
        if isinstance(exc, grpc.aio.AbortError | grpc.aio.BaseError):
            raise exc
        if isinstance(exc, OSError) and exc.errno in DISK_FULL:
            await context.abort_with_status(rpc_status.to_status(status_of(disk_full(exc))))
        self._log.exception("a call failed unexpectedly", method=method)
        await context.abort(grpc.StatusCode.INTERNAL, "Wherry failed: this is a bug of the service")
