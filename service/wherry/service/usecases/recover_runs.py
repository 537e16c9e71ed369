"""After a start: go on with what was going on when an earlier life of the service ended, however it ended."""

import asyncio
import itertools
from collections.abc import Sequence

from wherry.service.domain.errors import EngineUnavailable
from wherry.service.domain.run import Run
from wherry.service.domain.task import AttemptId
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.runs import RunStore
from wherry.service.ports.workspaces import Workspaces
from wherry.service.usecases.drive_run import DriveRun
from wherry.service.usecases.leftovers import Leftovers

# How long to wait before the engine is asked again; the last as often as it takes.
_ENGINE_AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0)


class RecoverRuns:
    """Takes up runs, containers and workspaces."""

    def __init__(
        self,
        *,
        runs: RunStore,
        drive: DriveRun,
        leftovers: Leftovers,
        workspaces: Workspaces,
        clock: Clock,
        log: EventLog,
    ) -> None:
        """Runs of `runs` go on in `drive`."""
        self._runs = runs
        self._drive = drive
        self._leftovers = leftovers
        self._workspaces = workspaces
        self._clock = clock
        self._log = log
        self._recovering: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """See what is left, before anything new comes, and take it up behind the caller's back."""
        active, left = await self._runs.list_active(), await self._workspaces.list_attempts()
        self._recovering = asyncio.create_task(self._recover(active, left), name="recover runs")

    async def close(self) -> None:
        """Leave it as it is."""
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.wait([self._recovering])

    async def _recover(self, active: Sequence[Run], left: Sequence[AttemptId]) -> None:
        try:
            await self._sort([run for run in active if not run.stop_requested], left)
            going = [self._drive.resume(run) for run in active]
            self._log.info("runs go on", count=len(going))
            await asyncio.gather(*going, return_exceptions=True)
            await self._leftovers.clear()
        except EngineUnavailable as exc:
            self._log.warning("what was left is not all cleared away", reason=exc.message)
        except Exception:  # noqa: BLE001 - the service serves on; told
            self._log.exception("what was left could not be taken up")

    async def _sort(self, active: Sequence[Run], left: Sequence[AttemptId]) -> None:
        """Runs wait for the engine: without it nobody knows what still runs, and must not run twice."""
        for tries in itertools.count():
            try:
                await self._leftovers.sort(active, left)
            except EngineUnavailable as exc:
                self._log.warning("runs wait for the engine", reason=exc.message)
                await self._clock.sleep(_ENGINE_AGAIN_S[min(tries, len(_ENGINE_AGAIN_S) - 1)])
            else:
                return
