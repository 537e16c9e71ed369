"""One query for what many ask at the same time, each for a little.

The stages of a run look up their results side by side, each with a query of its own: most of what that costs is the way to
the database and back. What is asked for while a query is under way, or in one round of the loop, is asked together.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Answer = TypeVar("_Answer")


class GatheredReads(Generic[_Key, _Answer]):
    """Reads for all who wait; each takes its own part out of the answer."""

    def __init__(self, read: Callable[[Collection[_Key]], Awaitable[_Answer]]) -> None:
        """`read` is asked for all keys that somebody waits for."""
        self._read = read
        self._wanted: set[_Key] = set()
        self._next: asyncio.Task[_Answer] | None = None
        self._newest: asyncio.Task[_Answer] | None = None

    async def __call__(self, keys: Collection[_Key]) -> _Answer:
        """The answer to a read that began after this call, for these keys and for those of others.

        Raises:
            Exception: what the read raises, to all who wait for it.
        """
        self._wanted.update(keys)
        if self._next is None:
            self._next = self._newest = asyncio.create_task(self._read_next(self._newest))
        # Shielded: others wait for it too.
        return await asyncio.shield(self._next)

    async def _read_next(self, before: asyncio.Task[_Answer] | None) -> _Answer:
        """Read when the read before has ended: only then is known what all want that came meanwhile."""
        if before is not None and not before.done():
            await asyncio.wait([before])
        wanted, self._wanted, self._next = self._wanted, set(), None
        return await self._read(wanted)
