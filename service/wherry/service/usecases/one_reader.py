"""One reads what many need: the stages of a run that go side by side read the same params files and trees."""

import asyncio
from collections.abc import Awaitable, Callable


class OneReader:
    """Lets one at a time read. Who waited meanwhile goes on all at once, not one after the other as with a lock.

    A thousand stages that wait for one file would else look up their results one by one.
    """

    def __init__(self) -> None:
        """Nobody reads yet."""
        self._done: asyncio.Event | None = None

    async def until(self, is_there: Callable[[], bool], read: Callable[[], Awaitable[None]]) -> None:
        """Return when what is needed is there: by `read`, or because another has read it.

        Raises:
            Exception: what `read` raises; who waited reads again.
        """
        while not is_there():
            if self._done is not None:
                await self._done.wait()
                continue
            self._done = done = asyncio.Event()
            try:
                await read()
            finally:
                self._done = None
                done.set()
