"""Waking those who wait for something about a run, within one process.

What they wait for stands in the database; this only says "look again". Other processes are not heard.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.service.domain.task import RunId


class Wakeups:
    """Who waits for which run. Holds nothing for runs that nobody waits for. For one event loop at a time."""

    def __init__(self) -> None:
        self._listeners: dict[RunId, set[asyncio.Event]] = {}

    @contextmanager
    def listen(self, run_id: RunId) -> Iterator[asyncio.Event]:
        """Give an event that every wake() of the run sets, from now on. Clear it before looking again."""
        listener = asyncio.Event()
        self._listeners.setdefault(run_id, set()).add(listener)
        try:
            yield listener
        finally:
            listeners = self._listeners[run_id]
            listeners.discard(listener)
            if not listeners:
                del self._listeners[run_id]

    def wake(self, run_id: RunId) -> None:
        """Wake all that listen to the run."""
        for listener in self._listeners.get(run_id, ()):
            listener.set()

    def __len__(self) -> int:
        """Count the runs that somebody listens to."""
        return len(self._listeners)
