"""Who calls: the token that lets them in, and the name they go by."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status

from wherry.service.domain.errors import NotAllowed
from wherry.service.rpc.context import Context
from wherry.service.rpc.errors import status_of

USER_KEY = "wherry-user"
_USER_CHARACTERS_MAX = 64

# Whoever watches the service's health or reads its protocol needs no token.
_OPEN_PREFIXES = ("/grpc.health.v1.", "/grpc.reflection.")


def user_of(context: Context) -> str:
    """The name the caller goes by, as the caller says. It decides nothing but what people read."""
    for key, value in context.invocation_metadata() or ():
        if key == USER_KEY and isinstance(value, str):
            name = "".join(character for character in value if character.isprintable()).strip()
            return name[:_USER_CHARACTERS_MAX] or "unknown"
    return "unknown"


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Lets only calls pass that carry the service's token."""

    def __init__(self, token: str) -> None:
        """Compare with `token`, in constant time."""
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Answer calls without the token; pass on the others."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_OPEN_PREFIXES):
            return handler
        given = dict(handler_call_details.invocation_metadata or ()).get("authorization", b"")
        given = given.encode() if isinstance(given, str) else given
        if hmac.compare_digest(given, self._expected):
            return handler
        return _refusing(handler)


def _refusing(handler: Any) -> Any:
    status = status_of(
        NotAllowed("the call carries no valid token", hint="Set WHERRY_TOKEN to the token of this service.")
    )
    assert status.code == code_pb2.UNAUTHENTICATED

    async def refuse(_request: object, context: Context) -> None:
        await _abort(context, status)

    async def refuse_stream(_request: object, context: Context) -> Any:
        await _abort(context, status)
        yield

    if handler.response_streaming:
        attribute = "stream_stream" if handler.request_streaming else "unary_stream"
        return handler._replace(**{attribute: refuse_stream})
    attribute = "stream_unary" if handler.request_streaming else "unary_unary"
    return handler._replace(**{attribute: refuse})


async def _abort(context: Context, status: status_pb2.Status) -> None:
    await context.abort_with_status(rpc_status.to_status(status))
