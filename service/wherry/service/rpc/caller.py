"""Who calls: the token that lets them in, and the name they go by."""

import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import grpc

from wherry.service.domain.errors import NotAllowed
from wherry.service.domain.tokens import Caller
from wherry.service.rpc.context import Context
from wherry.service.rpc.handlers import Behaviour, wrap_behaviour
from wherry.service.rpc.while_allowed import ASKED_AGAIN_S, while_allowed
from wherry.service.usecases.keep_tokens import FindCaller

USER_KEY = "wherry-user"
_USER_CHARACTERS_MAX = 64

# Whoever watches the service's health or reads its protocol needs no token.
_OPEN_PREFIXES = ("/grpc.health.v1.", "/grpc.reflection.")


# Each call is a task of its own, and each task has a value of its own.
_CALLER: ContextVar[Caller] = ContextVar("caller")
_SCHEME = "Bearer "


def caller_now() -> Caller:
    """Who makes the call that is being answered."""
    return _CALLER.get()


def user_of(context: Context) -> str:
    """The name the caller goes by: that of their token, else as they say. It decides nothing but what people read."""
    caller = _CALLER.get(None)
    if caller is not None and caller.token is not None:
        return caller.token.user
    for key, value in context.invocation_metadata() or ():
        if key == USER_KEY and isinstance(value, str):
            name = "".join(character for character in value if character.isprintable()).strip()
            return name[:_USER_CHARACTERS_MAX] or "unknown"
    return "unknown"


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Lets only calls pass that carry the service's token or one of those it made.

    It stands inside the interceptor that tells errors.
    """

    def __init__(self, token: str, find_caller: FindCaller, *, asked_again_s: float = ASKED_AGAIN_S) -> None:
        """Compare with `token`, in constant time; whose another is says `find_caller`, by its hash.

        While a stream lasts it is asked so often.
        """
        self._asked_again_s = asked_again_s
        self._expected = f"{_SCHEME}{token}".encode()
        self._find_caller = find_caller

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
            return _answered_to(handler, self._owner, asked_again_s=None)
        text = given.decode("ascii", "replace")
        if not text.startswith(_SCHEME):
            return wrap_behaviour(handler, unary=lambda _: _refuse, stream=lambda _: _refuse_stream)
        # The database is asked where its errors are told.
        find = partial(self._find, text.removeprefix(_SCHEME))
        return _answered_to(handler, find, asked_again_s=self._asked_again_s)

    async def _owner(self) -> Caller:
        return Caller()

    async def _find(self, token: str) -> Caller:
        found = await self._find_caller(token)
        if found is None:
            raise _not_allowed()
        return found


def _answered_to(handler: Any, find: Callable[[], Awaitable[Caller]], *, asked_again_s: float | None) -> Any:
    """Have a handler answer once it is known who calls; a stream as long as they may call."""

    def unary(behaviour: Behaviour) -> Behaviour:
        async def answer(request: object, context: Context) -> object:
            _CALLER.set(await find())
            return await behaviour(request, context)

        return answer

    def stream(behaviour: Behaviour) -> Behaviour:
        async def answer(request: object, context: Context) -> AsyncIterator[object]:
            _CALLER.set(await find())
            messages = behaviour(request, context)
            if asked_again_s is not None:
                messages = while_allowed(messages, find, every_s=asked_again_s)
            async with contextlib.aclosing(messages):
                async for message in messages:
                    yield message

        return answer

    return wrap_behaviour(handler, unary=unary, stream=stream)


async def _refuse(_request: object, _context: Context) -> None:
    raise _not_allowed()


def _not_allowed() -> NotAllowed:
    return NotAllowed(
        "the call carries no valid token",
        hint="Set WHERRY_TOKEN to a token of this service, or keep it with: wherry login.",
    )


async def _refuse_stream(request: object, context: Context) -> AsyncIterator[object]:
    await _refuse(request, context)
    yield None
