"""A clock that stands still until it is told to move."""

import asyncio
from datetime import UTC, datetime, timedelta

from wherry.service.ports.clock import Clock


class FakeClock(Clock):
    """Starts at a round instant. Those who sleep wake when it was moved far enough."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        sleeper = (self._elapsed_s + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._elapsed_s += seconds
        for wakes_at, event in self._sleepers:
            if wakes_at <= self._elapsed_s:
                event.set()
