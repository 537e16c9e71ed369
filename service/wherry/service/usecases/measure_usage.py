"""Follow what a container uses while it runs."""

import asyncio
from typing import Self

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.usage import Usage
from wherry.service.ports.containers import ContainerEngine, ContainerId

# Short stages are looked at soon, and long ones seldom: a tenth of a second an hour.
_FIRST_LOOK_S = 0.5
_SLOWER = 1.3
_LOOKS_APART_MAX_S = 10.0


class UsageMeter:
    """Looks at a container now and then, and once more when it has ended. Use it as a context manager."""

    def __init__(self, engine: ContainerEngine, container: ContainerId) -> None:
        """Nothing is looked at before the `with`."""
        self._engine = engine
        self._container = container
        self._looking: asyncio.Task[None] | None = None
        self.usage = Usage()
        """The most that was seen."""

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look_on())
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if exception[0] is None:
            await self._look()

    async def _look_on(self) -> None:
        pause_s = _FIRST_LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            await self._look()
            pause_s = min(pause_s * _SLOWER, _LOOKS_APART_MAX_S)

    async def _look(self) -> None:
        try:
            self.usage = self.usage.later(await self._engine.usage(self._container))
        except Unavailable:
            # What a stage used is good to know, and no reason for it to fail.
            return
