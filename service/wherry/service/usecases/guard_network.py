"""Keep the network of stages guarded while stages run: a firewall that is loaded anew forgets rules that are not its own."""

import asyncio
from collections.abc import Callable

from wherry.service.domain.errors import Unavailable
from wherry.service.ports.clock import Clock
from wherry.service.ports.containers import ContainerEngine
from wherry.service.ports.event_log import EventLog

# The engine's adapter does nothing where it has put the rules in place a moment ago.
_EVERY_S = 5.0


class GuardNetwork:
    """Has the rules put in place again and again, as long as something runs."""

    def __init__(
        self,
        *,
        engine: ContainerEngine,
        clock: Clock,
        log: EventLog,
        is_needed: Callable[[], bool],
        every_s: float = _EVERY_S,
    ) -> None:
        """Nothing is done while `is_needed` says no."""
        self._engine = engine
        self._clock = clock
        self._log = log
        self._is_needed = is_needed
        self._every_s = every_s
        self._failing = ""
        self._going: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, behind the caller's back."""
        self._going = asyncio.create_task(self._go_on(), name="guard network")

    async def close(self) -> None:
        """Stop."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.wait([self._going])

    async def _go_on(self) -> None:
        while True:
            await self._clock.sleep(self._every_s)
            if self._is_needed():
                await self._guard()

    async def _guard(self) -> None:
        try:
            await self._engine.check_network()
        except Unavailable as exc:
            # Once, not every few seconds.
            if exc.message != self._failing:
                self._log.warning("the network of stages cannot be guarded now", reason=exc.message)
            self._failing = exc.message
        else:
            self._failing = ""
