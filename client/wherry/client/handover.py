"""Handing items from other threads to one that waits for them, where Ctrl-C may come to it at any instant."""

import contextlib
import math
import queue
import threading
import time
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")

_BEHIND_S = 0.02
# Ctrl-C in the instant in which waiting begins, or that another thread is told of, is noticed only after it.
_DEAF_S = 0.5


class Handover(Generic[ItemT]):
    """A bounded queue with one reader. Once it is closed nothing is taken any more."""

    def __init__(self, items_max: int) -> None:
        """Let about `items_max` items wait for the reader; whoever puts more waits for a moment."""
        self._items_max = items_max
        # Of the two queues only this one is none the worse for Ctrl-C: the other waits in Python's own code, and can be
        # left with a lock that nobody holds or everybody waits for.
        self._items: queue.SimpleQueue[ItemT] = queue.SimpleQueue()
        self._closed = threading.Event()

    def is_closed(self) -> bool:
        """Whether nobody reads any more."""
        return self._closed.is_set()

    def close(self) -> None:
        """Say that nobody reads any more."""
        self._closed.set()

    def is_closed_within(self, seconds: float) -> bool:
        """Wait so long at most for the reader to leave; for the threads that put, not for the one that reads."""
        return self._closed.wait(seconds)

    def put(self, item: ItemT) -> None:
        """Hand an item over; waits while the reader is far behind."""
        while self._items.qsize() >= self._items_max and not self._closed.wait(_BEHIND_S):
            pass
        if not self._closed.is_set():
            self._items.put(item)

    def get(self, timeout: float | None = None) -> ItemT:
        """Wait for the next item, `timeout` seconds at most.

        Raises:
            queue.Empty: if none came.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        while (left := until - time.monotonic()) > _DEAF_S:
            with contextlib.suppress(queue.Empty):
                return self._items.get(timeout=_DEAF_S)
        return self._items.get(timeout=max(0.0, left))
