"""How far a transfer is, in words: how much, how fast, how long still."""

import time
from collections import deque
from collections.abc import Callable

from wherry.client.cli.units import duration_words, size_words

# The rate is that of the last seconds: a mean since the beginning would not show that a line has become slow.
_WINDOW_S = 8.0
_EVERY_S = 0.2
# Before this a rate is chance.
_RATE_AFTER_S = 1.0


class Meter:
    """Counts bytes; not safe to use from several threads."""

    def __init__(self, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing moved; `total` may be unknown."""
        self._total = total
        self._clock = clock
        self._moved = 0
        self._shown_at = clock()
        self._samples = deque([(self._shown_at, 0)])

    def advance(self, size_bytes: int) -> str | None:
        """Count; returns what to show when it is time to show something."""
        self._moved += size_bytes
        now = self._clock()
        if now - self._shown_at < _EVERY_S:
            return None
        self._shown_at = now
        self._samples.append((now, self._moved))
        while now - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()
        return self._words(now)

    def _words(self, now: float) -> str:
        words = size_words(self._moved) + (f" of {size_words(self._total)}" if self._total else "")
        began, before = self._samples[0]
        if now - began < _RATE_AFTER_S:
            return words
        rate = max(0, self._moved - before) / (now - began)
        words += f"  {size_words(round(rate))}/s"
        left = (self._total or 0) - self._moved
        if rate and left > 0:
            words += f"  {duration_words(round(left / rate), whole=True)} left"
        return words
