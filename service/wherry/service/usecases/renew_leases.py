"""Say of all leases that this service holds that it lives, in few statements however many there are."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.lease import Lease
from wherry.service.domain.task import LeaseToken
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.leases import Leases

# A service that has not been heard of for so long is taken for dead. Three renewals may fail before.
LEASE_LIFE_S = 30.0
_BEAT_S = LEASE_LIFE_S / 4

_AT_ONCE = 500


@dataclass(slots=True)
class _Held:
    lease: Lease
    watched: Callable[[], None]
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class RenewLeases:
    """One beat for all of them, as long as there are any."""

    def __init__(self, *, leases: Leases, clock: Clock, log: EventLog) -> None:
        """Renew in `leases`."""
        self._leases = leases
        self._clock = clock
        self._log = log
        self._held: dict[LeaseToken, _Held] = {}
        self._beating: asyncio.Task[None] | None = None

    async def __call__(self, lease: Lease, *, watched: Callable[[], None]) -> None:
        """Keep a lease until this is cancelled; return when it is lost. `watched` hears that somebody waits for it."""
        held = self._held[lease.token] = _Held(lease, watched)
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat(), name="renew leases")
        losing = asyncio.create_task(held.lost.wait())
        try:
            done, _ = await asyncio.wait({losing, self._beating}, return_when=asyncio.FIRST_COMPLETED)
            if losing not in done:
                self._beating.result()  # raises what would have been a bug
        finally:
            losing.cancel()
            del self._held[lease.token]
            if not self._held:
                self._beating.cancel()
                self._beating = None

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(_BEAT_S)
            held = list(self._held.values())
            for start in range(0, len(held), _AT_ONCE):
                await self._renew(held[start : start + _AT_ONCE])

    async def _renew(self, held: Sequence[_Held]) -> None:
        expires_at = self._clock.now() + timedelta(seconds=LEASE_LIFE_S)
        try:
            standing = await self._leases.renew([one.lease for one in held], expires_at=expires_at)
        except Unavailable:
            self._log.warning("leases not renewed", count=len(held))
            return
        for one in held:
            now = standing.get(one.lease.token)
            if now is None:
                one.lost.set()
            elif now.watched:
                one.watched()
