"""Who calls: the token that lets them in, and the name they go by."""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from wherry.service.domain.errors import NotAllowed
from wherry.service.rpc.context import Context
from wherry.service.rpc.handlers import wrap_behaviour

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
    """Lets only calls pass that carry the service's token. It stands inside the interceptor that tells errors."""

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
        return wrap_behaviour(handler, unary=lambda _: _refuse, stream=lambda _: _refuse_stream)


async def _refuse(_request: object, _context: Context) -> None:
    raise NotAllowed(
        "the call carries no valid token",
        hint="Set WHERRY_TOKEN to the token of this service, or keep it with: wherry login.",
    )


async def _refuse_stream(request: object, context: Context) -> AsyncIterator[object]:
    await _refuse(request, context)
    yield None
