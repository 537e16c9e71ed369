"""Do something now and once an hour, behind everybody's back."""

import asyncio
from collections.abc import Awaitable, Callable

from wherry.service.domain.errors import Unavailable
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog

_EVERY_S = 3600.0


class Hourly:
    """Keeps house. What does not answer now is tried again in an hour."""

    def __init__(
        self, work: Callable[[], Awaitable[None]], *, name: str, trouble: str, clock: Clock, log: EventLog
    ) -> None:
        """Do `work`, in a task that is called `name`; `trouble` is said in `log` when something does not answer."""
        self._work = work
        self._name = name
        self._trouble = trouble
        self._clock = clock
        self._log = log
        self._going: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._going = asyncio.create_task(self._go_on(), name=self._name)

    async def close(self) -> None:
        """Stop."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.wait([self._going])

    async def _go_on(self) -> None:
        while True:
            try:
                await self._work()
            except Unavailable as exc:
                self._log.warning(self._trouble, reason=exc.message)
            await self._clock.sleep(_EVERY_S)
