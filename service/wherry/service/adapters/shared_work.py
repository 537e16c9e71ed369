"""Work that several wait for is done once, and stopped when nobody waits for it any more."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_Key = TypeVar("_Key")
_Made = TypeVar("_Made")


@dataclass(slots=True)
class _Work(Generic[_Made]):
    task: asyncio.Task[_Made]
    waiting: int = 0


class SharedWork(Generic[_Key, _Made]):
    """Work under way, by key. For one event loop."""

    def __init__(self) -> None:
        """Begin with none."""
        self._under_way: dict[_Key, _Work[_Made]] = {}

    async def __call__(self, key: _Key, make: Callable[[], Coroutine[Any, Any, _Made]]) -> _Made:
        """Wait for the work of a key, which `make` begins if none is under way.

        One who is cancelled leaves the others alone; when the last one leaves, the work is cancelled, and who asks
        after that begins anew.
        """
        work = self._under_way.get(key)
        if work is None:
            work = self._under_way[key] = _Work(asyncio.create_task(make()))
            work.task.add_done_callback(lambda task: self._forget(key, task))
        work.waiting += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.waiting -= 1
            if not work.waiting and not work.task.done():
                self._forget(key, work.task)
                work.task.cancel()

    def _forget(self, key: _Key, task: asyncio.Task[_Made]) -> None:
        if key in self._under_way and self._under_way[key].task is task:
            del self._under_way[key]
        if task.done() and not task.cancelled():
            task.exception()  # nobody may be left who would hear of it
