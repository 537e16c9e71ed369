"""Have networks made ahead, in quiet moments: the first stages of a run then need not wait until one is made."""

import asyncio

from wherry.service.domain.errors import Unavailable
from wherry.service.ports.clock import Clock
from wherry.service.ports.networks_ahead import NetworksAhead

# Where none is lacking, or something begins, the engine is not asked.
_EVERY_S = 1.0

# An engine that is away is not asked again and again: without them all is as it should be, if slower.
_AGAIN_S = 60.0


class MakeNetworksAhead:
    """Makes up for those that runs have taken."""

    def __init__(self, *, engine: NetworksAhead, clock: Clock) -> None:
        """`engine` knows how many there should be, and when it is quiet."""
        self._engine = engine
        self._clock = clock
        self._going: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, behind the caller's back."""
        self._going = asyncio.create_task(self._go_on(), name="make networks ahead")

    async def close(self) -> None:
        """Stop."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.wait([self._going])

    async def _go_on(self) -> None:
        while True:
            try:
                await self._engine.make_network_ahead()
            except Unavailable:
                await self._clock.sleep(_AGAIN_S)
            else:
                await self._clock.sleep(_EVERY_S)
