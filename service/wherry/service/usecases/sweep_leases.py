"""Forget leases whose holders have not been heard of for long, and failures that nobody waits for any more."""

import asyncio
from datetime import timedelta

from wherry.service.domain.errors import Unavailable
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.leases import Leases
from wherry.service.ports.passed_output import PassedOutput

_EVERY_S = 3600.0

# A lease is free half a minute after its holder fell silent, and nobody waits for a failure this old. One that was cut
# off from the database for so long, and comes back, has lost its lease as if it had been taken over.
_KEPT = timedelta(days=1)


# Who waits for output looks every second until the lease is over, and once more.
_OUTPUT_KEPT = timedelta(hours=1)


class SweepLeases:
    """Keeps the tables as small as what goes on, whichever service left what is in them."""

    def __init__(self, *, leases: Leases, passed: PassedOutput, clock: Clock, log: EventLog) -> None:
        """Sweep `leases`, and what was passed on under them."""
        self._leases = leases
        self._passed = passed
        self._clock = clock
        self._log = log
        self._going: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep now and once an hour, behind the caller's back."""
        self._going = asyncio.create_task(self._go_on(), name="sweep leases")

    async def close(self) -> None:
        """Stop."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.wait([self._going])

    async def __call__(self) -> None:
        """Remove what is too old, a bounded part at a time.

        Raises:
            Unavailable: if the database does not answer.
        """
        now = self._clock.now()
        while await self._leases.sweep(before=now - _KEPT):
            pass
        while await self._passed.sweep(before=now - _OUTPUT_KEPT):
            pass

    async def _go_on(self) -> None:
        while True:
            try:
                await self()
            except Unavailable as exc:
                self._log.warning("leases cannot be swept now", reason=exc.message)
            await self._clock.sleep(_EVERY_S)
