"""Forget leases whose holders have not been heard of for long, and failures that nobody waits for any more."""

from datetime import timedelta

from wherry.service.ports.clock import Clock
from wherry.service.ports.leases import Leases
from wherry.service.ports.passed_output import PassedOutput

# A lease is free half a minute after its holder fell silent, and nobody waits for a failure this old. One that was cut
# off from the database for so long, and comes back, has lost its lease as if it had been taken over.
_KEPT = timedelta(days=1)

# Who waits for output looks every second until the lease is over, and once more.
_OUTPUT_KEPT = timedelta(hours=1)


class SweepLeases:
    """Keeps the tables as small as what goes on, whichever service left what is in them."""

    def __init__(self, *, leases: Leases, passed: PassedOutput, clock: Clock) -> None:
        """Sweep `leases`, and what was passed on under them."""
        self._leases = leases
        self._passed = passed
        self._clock = clock

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
