"""Keep the output of an attempt with its result, behind the back of those who wait for the result."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.task import LogName, RunId
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.log_archive import LogArchive, LogsToKeep, LogToKeep
from wherry.service.ports.logs import LogLine, LogStore
from wherry.service.usecases.patience import AGAIN_S

_PAGE = 1_000
# Each holds a page of lines and an open file.
_AT_ONCE = 4


class _Keeping:
    """A log on its way."""

    def __init__(self, log: LogToKeep) -> None:
        self.log = log
        self.tried = asyncio.Event()
        """Set once it is kept, or could not be kept at once."""
        self.is_waiting = False
        self.task: asyncio.Task[None] | None = None


class KeepLogs:
    """Copies what a stage wrote in a run into the archive, however often the service or the store goes away meanwhile.

    What is to be kept is noted before the result is recorded, and forgotten once it is kept: the next life of the
    service goes on with what it finds noted.
    """

    def __init__(
        self, *, logs: LogStore, archive: LogArchive, noted: LogsToKeep, clock: Clock, log: EventLog
    ) -> None:
        """Copy from `logs` to `archive`; tell `log` what could not be kept."""
        self._logs = logs
        self._archive = archive
        self._noted = noted
        self._clock = clock
        self._log = log
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._keeping: dict[LogName, _Keeping] = {}
        self._is_closing = False

    async def start(self, log: LogToKeep) -> None:
        """Have a log kept; returns once it cannot be forgotten, whatever happens to the service."""
        try:
            await self._noted.note(log)
        except Unavailable as exc:
            # It is kept all the same if the service lives on for a moment.
            self._log.warning("an output to be kept was not noted", run_id=log.run_id, reason=exc.message)
        self._begin(log)

    async def resume(self) -> None:
        """Go on with what an earlier life of the service had noted.

        Raises:
            Unavailable: if that cannot be read.
        """
        for log in await self._noted.list():
            self._begin(log)

    @property
    def runs(self) -> frozenset[RunId]:
        """The runs whose lines are being copied, or wait for it."""
        return frozenset(one.log.run_id for one in self._keeping.values())

    async def settle(self, name: LogName) -> None:
        """Return when the log is kept, or cannot be kept now, if that is under way."""
        if name in self._keeping:
            await self._keeping[name].tried.wait()

    async def close(self) -> None:
        """Return when all logs are kept that can be; the others stay noted."""
        self._is_closing = True
        tasks = [one.task for one in self._keeping.values() if one.task is not None]
        for one in self._keeping.values():
            if one.is_waiting and one.task is not None:
                one.task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, log: LogToKeep) -> None:
        # One that was begun for the same attempt has less, or the same.
        former = self._keeping.get(log.name)
        keeping = self._keeping[log.name] = _Keeping(log)
        keeping.task = asyncio.create_task(self._keep(keeping, former), name=f"keep log {log.name}")

    async def _keep(self, keeping: _Keeping, former: _Keeping | None) -> None:
        try:
            if former is not None and former.task is not None:
                await asyncio.wait([former.task])
            for wait_s in itertools.chain(AGAIN_S, itertools.repeat(AGAIN_S[-1])):
                is_kept = await self._try(keeping)
                keeping.tried.set()
                if is_kept or self._is_closing:
                    return
                keeping.is_waiting = True
                await self._clock.sleep(wait_s)
                keeping.is_waiting = False
        finally:
            keeping.tried.set()
            if self._keeping.get(keeping.log.name) is keeping:
                del self._keeping[keeping.log.name]

    async def _try(self, keeping: _Keeping) -> bool:
        log = keeping.log
        try:
            # An empty output is kept as well; of one that is not there any more nothing could be.
            if not await self._logs.was_cleared(log.run_id):
                async with self._places:
                    await self._archive.keep(log.name, self._lines(log))
            await self._noted.forget(log.name)
        except (Unavailable, OSError) as exc:
            if not keeping.tried.is_set():
                self._log.warning(
                    "the output of a result is not kept yet",
                    run_id=log.run_id,
                    stage=log.stage,
                    reason=str(exc),
                )
            return False
        return True

    async def _lines(self, log: LogToKeep) -> AsyncIterator[Sequence[LogLine]]:
        after = log.after
        while lines := await self._logs.read_after(log.run_id, after, stage=log.stage, limit=_PAGE):
            yield lines
            after = lines[-1].sequence
