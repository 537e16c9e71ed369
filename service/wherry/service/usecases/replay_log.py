"""Show what is kept of output with results: that of a known result, and that of a run whose log was cleared away."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import LogGone
from wherry.service.domain.run import StageRecord
from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import LogName, RunId
from wherry.service.ports.clock import Clock
from wherry.service.ports.log_archive import LogArchive
from wherry.service.ports.logs import LogLine, LogStore, LogStream, NewLine
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.kept_lines import KeptLines

# Lines of a run itself have smaller numbers: whoever resumes says with the number where in which log.
REPLAYED_FROM = 2**40

_PAGE = 1_000

_CLEARED = (
    "the log of this run was cleared away: the service keeps logs for a time (WHERRY_LOGS_DAYS, WHERRY_LOGS_GB); "
    "what is kept with results follows"
)


class ReplayLog:
    """Yields kept output as that of a stage whose result was known, numbered behind the lines of its run."""

    def __init__(self, *, logs: LogStore, archive: LogArchive, keep: KeepLogs, clock: Clock) -> None:
        """Read `archive`, once `keep` has put there what is still on its way; what `logs` have of it is not repeated."""
        self._logs = logs
        self._archive = archive
        self._keep = keep
        self._clock = clock

    async def __call__(
        self, run_id: RunId, record: StageRecord, *, after: int
    ) -> AsyncIterator[Sequence[LogLine]]:
        """The lines of a stage's original run, after a number; none for a stage that was not a hit.

        A run that was waiting for the original has some of them in its own log: the others follow.
        """
        if record.cache is not CacheUse.HIT or record.log is None:
            return
        await self._keep.settle(record.log)
        own = await self._own(run_id, record)
        # What is left out is counted from the first line on.
        start = 0 if own else max(0, after - REPLAYED_FROM)
        try:
            async for page in self._archive.read_after(record.log, start):
                lines = [line for line in own.leave_out_of(page) if REPLAYED_FROM + line.sequence > after]
                if lines:
                    yield [_replayed(line, record.name) for line in lines]
        except LogGone as exc:
            if after < REPLAYED_FROM:
                yield [self._say(record.name, exc.message)]

    async def _own(self, run_id: RunId, record: StageRecord) -> KeptLines:
        """What a run has kept of the attempt whose output is named in the record."""
        own, after = KeptLines(), record.output_after
        if record.attempt_id is not None and LogName(record.attempt_id) == record.log:
            while page := await self._logs.read_after(run_id, after, stage=record.name, limit=_PAGE):
                own.add_page(page)
                after = page[-1].sequence
        return own

    async def cleared(
        self, records: Sequence[StageRecord], *, stage: str | None, after: int
    ) -> AsyncIterator[Sequence[LogLine]]:
        """What is left of a run's output, or of one stage's, when its log was cleared away: one stage after another.

        Numbers are those of the lines in the run, for each stage in a range of its own: they grow all the same.
        """
        if after < REPLAYED_FROM:
            yield [self._say(stage or "", _CLEARED)]
        chosen = [record for record in records if stage in {None, record.name}]
        for place, record in enumerate(chosen, 1):
            first = place * REPLAYED_FROM
            if record.log is None or record.cache is CacheUse.HIT or after >= first + REPLAYED_FROM:
                continue
            with contextlib.suppress(LogGone):
                async for lines in self._archive.read_after(record.log, max(0, after - first)):
                    yield [LogLine(sequence=first + line.sequence, line=line.line) for line in lines]

    def _say(self, stage: str, text: str) -> LogLine:
        line = NewLine(time=self._clock.now(), stage=stage, stream=LogStream.SYSTEM, text=text.encode())
        return LogLine(sequence=REPLAYED_FROM, line=line)


def _replayed(line: LogLine, stage: StageName) -> LogLine:
    return LogLine(sequence=REPLAYED_FROM + line.sequence, line=replace(line.line, stage=stage))
