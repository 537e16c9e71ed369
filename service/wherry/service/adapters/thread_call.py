"""A call in a thread that is over when who awaits it goes on, cancelled or not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

_T = TypeVar("_T")


async def call_in_thread(
    pool: Executor, call: Callable[[], _T], *, stop: Callable[[], None] = lambda: None
) -> _T:
    """Call it and return what it returns. When cancelled, `stop` it if it has begun, and wait for its end."""
    job = pool.submit(call)
    try:
        return await asyncio.wrap_future(job)
    except asyncio.CancelledError:
        if not job.cancel():
            stop()
            await asyncio.shield(asyncio.wait([asyncio.wrap_future(job)]))
        raise
