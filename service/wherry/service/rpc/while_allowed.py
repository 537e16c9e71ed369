"""Streams that end when their caller's token counts no more."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from wherry.service.domain.errors import Unavailable

# Who was let in may have been shut out since; a stream may last an hour.
ASKED_AGAIN_S = 15.0


async def while_allowed(
    messages: AsyncGenerator[object], ask: Callable[[], Awaitable[object]], *, every_s: float
) -> AsyncGenerator[object]:
    """Yield messages, and ask every so often, whether any come or not, if the caller may still have them.

    Raises:
        NotAllowed: what `ask` raises. That the database is away at the moment ends nothing.
    """
    loop = asyncio.get_running_loop()
    due_at = loop.time() + every_s
    coming: asyncio.Task[object] | None = None
    try:
        while True:
            # A task for each: a generator that is cancelled while it waits could not be asked again.
            coming = coming or asyncio.create_task(_next(messages))
            if not coming.done():
                await asyncio.wait({coming}, timeout=max(0.0, due_at - loop.time()))
            if loop.time() >= due_at:
                with contextlib.suppress(Unavailable):
                    await ask()
                due_at = loop.time() + every_s
            if coming.done():
                try:
                    message = coming.result()
                except StopAsyncIteration:
                    return
                coming = None
                yield message
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait({coming})
        await messages.aclose()


async def _next(messages: AsyncGenerator[object]) -> object:
    return await anext(messages)
