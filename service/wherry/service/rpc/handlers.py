"""gRPC's handlers: each has one of four functions, by whether request and response are streams."""

from collections.abc import Callable
from typing import Any

Behaviour = Callable[..., Any]
"""What answers a call: a coroutine function, or an async generator function when the response is a stream."""


def wrap_behaviour(
    handler: Any, *, unary: Callable[[Behaviour], Behaviour], stream: Callable[[Behaviour], Behaviour]
) -> Any:
    """Put what `unary` or `stream` makes of a handler's function in its place."""
    request = "stream" if handler.request_streaming else "unary"
    response, wrap = ("stream", stream) if handler.response_streaming else ("unary", unary)
    name = f"{request}_{response}"
    return handler._replace(**{name: wrap(getattr(handler, name))})
