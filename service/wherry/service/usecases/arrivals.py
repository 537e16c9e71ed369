"""Who submits is answered before what others have submitted is begun."""

import asyncio
import contextlib
from collections.abc import Iterator

# Longer no run waits for those who submit: there may always be some, and some may take long.
_WAIT_S = 2.0


class Arrivals:
    """Submissions that are being answered now."""

    def __init__(self) -> None:
        """There are none yet."""
        self._count = 0
        self._expected: dict[str, asyncio.TimerHandle] = {}
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def arriving(self, key: str) -> Iterator[None]:
        """Count one for as long as this lasts; who was expected under this key has come."""
        self._count += 1
        self._none.clear()
        self._have_come(key)
        try:
            yield
        finally:
            self._count -= 1
            self._look()

    def expect(self, key: str, within_s: float = _WAIT_S) -> None:
        """Count one who was told what to provide first, until they come again or time is up."""
        self._none.clear()
        self._have_come(key)
        self._expected[key] = asyncio.get_running_loop().call_later(within_s, self._give_up, key)

    async def answered(self, at_most_s: float = _WAIT_S) -> None:
        """Return once there are none, or when time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._none.wait()

    def _have_come(self, key: str) -> None:
        if (timer := self._expected.pop(key, None)) is not None:
            timer.cancel()

    def _give_up(self, key: str) -> None:
        self._have_come(key)
        self._look()

    def _look(self) -> None:
        if not self._count and not self._expected:
            self._none.set()
