"""Hear of runs that somebody asked another service of the same database to stop."""

import asyncio

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.task import RunId
from wherry.service.ports.clock import Clock
from wherry.service.ports.runs import RunStore
from wherry.service.usecases.drive_run import DriveRun

# How long a request may go unnoticed.
_LOOK_EVERY_S = 2.0


class WatchStops:
    """Looks now and then which of the runs of this service are to stop."""

    def __init__(self, *, runs: RunStore, drive: DriveRun, clock: Clock) -> None:
        """Requests stand in `runs`; `drive` acts on them."""
        self._runs = runs
        self._drive = drive
        self._clock = clock
        self._heard: set[RunId] = set()
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on."""
        self._watching = asyncio.create_task(self._watch(), name="watch stops")

    async def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_EVERY_S)
            try:
                asked = set(await self._runs.list_stopping())
            except Unavailable:
                continue
            for run_id in asked - self._heard:
                self._drive.cancel(run_id)
            self._heard = asked
