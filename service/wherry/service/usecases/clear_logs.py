"""Clear away the output of runs that have long ended: the service's disk is not for ever."""

from collections.abc import Callable, Collection
from datetime import timedelta

from wherry.service.domain.task import RunId
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.logs import ClearableLogs, KeptLog
from wherry.service.ports.runs import RunStore


class ClearLogs:
    """Bounds the logs of ended runs by age and by what all take together. What is archived with results stays."""

    def __init__(
        self,
        *,
        logs: ClearableLogs,
        runs: RunStore,
        in_use: Callable[[], Collection[RunId]],
        age_max: timedelta,
        bytes_max: int,
        clock: Clock,
        log: EventLog,
    ) -> None:
        """Leave alone the logs of runs that go on, as `runs` has them, and those that `in_use` names."""
        self._logs = logs
        self._runs = runs
        self._in_use = in_use
        self._age_max = age_max
        self._bytes_max = bytes_max
        self._clock = clock
        self._log = log

    async def __call__(self) -> None:
        """Clear away logs that are too old, then the oldest ones until the rest is not too large.

        Raises:
            Unavailable: if the database or the disk does not answer.
        """
        # In this order: a run whose log is there already, and that does not go on now, has ended for good.
        kept = sorted(await self._logs.list_kept(), key=lambda log: log.written_at)
        needed = {run.id for run in await self._runs.list_active()}.union(self._in_use())
        oldest, total = self._clock.now() - self._age_max, sum(log.size_bytes for log in kept)
        cleared: list[KeptLog] = []
        for log in kept:
            is_due = log.written_at < oldest or total > self._bytes_max
            if is_due and log.run_id not in needed and await self._logs.clear(log.run_id):
                total -= log.size_bytes
                cleared.append(log)
        if cleared:
            size_bytes = sum(log.size_bytes for log in cleared)
            self._log.info("logs of ended runs were cleared away", runs=len(cleared), size_bytes=size_bytes)
