"""Keep the output of an attempt with its result, behind the back of those who wait for the result."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.task import LogName, RunId
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.log_archive import LogArchive
from wherry.service.ports.logs import LogLine, LogStore

_PAGE = 1_000
# Each holds a page of lines and an open file.
_AT_ONCE = 4


class KeepLogs:
    """Copies what a stage wrote in a run into the archive."""

    def __init__(self, *, logs: LogStore, archive: LogArchive, log: EventLog) -> None:
        """Copy from `logs` to `archive`; tell `log` what could not be kept."""
        self._logs = logs
        self._archive = archive
        self._log = log
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._keeping: dict[LogName, asyncio.Task[None]] = {}
        self._runs: dict[LogName, RunId] = {}

    def start(self, name: LogName, *, run_id: RunId, stage: str, after: int) -> None:
        """Keep the lines of a stage after a number under a name; returns at once."""
        task = asyncio.create_task(self._keep(name, run_id, stage, after), name=f"keep log {name}")
        self._keeping[name], self._runs[name] = task, run_id
        task.add_done_callback(lambda _: self._forget(name))

    @property
    def runs(self) -> frozenset[RunId]:
        """The runs whose lines are being copied, or wait for it."""
        return frozenset(self._runs.values())

    async def settle(self, name: LogName) -> None:
        """Return when the log is kept, if that is under way."""
        if name in self._keeping:
            await asyncio.wait([self._keeping[name]])

    async def close(self) -> None:
        """Return when all logs are kept."""
        await asyncio.gather(*self._keeping.values())

    def _forget(self, name: LogName) -> None:
        self._keeping.pop(name, None)
        self._runs.pop(name, None)

    async def _keep(self, name: LogName, run_id: RunId, stage: str, after: int) -> None:
        try:
            async with self._places:
                await self._archive.keep(name, self._lines(run_id, stage, after))
        except (Unavailable, OSError) as exc:
            # The result counts without it; a hit then says that the output is not kept.
            self._log.warning(
                "the output of a result was not kept", run_id=run_id, stage=stage, reason=str(exc)
            )

    async def _lines(self, run_id: RunId, stage: str, after: int) -> AsyncIterator[Sequence[LogLine]]:
        while lines := await self._logs.read_after(run_id, after, stage=stage, limit=_PAGE):
            yield lines
            after = lines[-1].sequence
