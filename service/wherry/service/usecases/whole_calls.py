"""Calls whose answer must not get lost: what they made would be left for nobody."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from wherry.service.domain.errors import Unavailable

_T = TypeVar("_T")


async def whole(call: Awaitable[_T], keep: Callable[[_T], None]) -> _T:
    """Hand the answer to `keep` and return it; who is cancelled meanwhile waits for the answer all the same."""
    calling = asyncio.ensure_future(call)
    try:
        answer = await asyncio.shield(calling)
    except asyncio.CancelledError:
        with contextlib.suppress(Unavailable):
            keep(await calling)
        raise
    keep(answer)
    return answer
