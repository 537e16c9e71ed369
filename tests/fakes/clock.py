"""A clock that stands still until it is told to move."""

from datetime import UTC, datetime, timedelta

from wherry.service.ports.clock import Clock


class FakeClock(Clock):
    """Starts at a round instant."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._elapsed_s += seconds
