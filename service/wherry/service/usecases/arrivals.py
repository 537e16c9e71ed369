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
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def arriving(self) -> Iterator[None]:
        """Count one for as long as this lasts."""
        self._count += 1
        self._none.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def answered(self, at_most_s: float = _WAIT_S) -> None:
        """Return once there are none, or when time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._none.wait()
