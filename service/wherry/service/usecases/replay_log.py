"""Show what is kept of output with results: that of a known result, and that of a run whose log was cleared away."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from wherry.service.domain.errors import LogGone
from wherry.service.domain.run import StageRecord
from wherry.service.domain.states import CacheUse
from wherry.service.ports.clock import Clock
from wherry.service.ports.log_archive import LogArchive
from wherry.service.ports.logs import LogLine, LogStream, NewLine
from wherry.service.usecases.keep_logs import KeepLogs

# Lines of a run itself have smaller numbers: whoever resumes says with the number where in which log.
REPLAYED_FROM = 2**40

_CLEARED = (
    "the log of this run was cleared away: the service keeps logs for a time (WHERRY_LOGS_DAYS, WHERRY_LOGS_GB); "
    "what is kept with results follows"
)


class ReplayLog:
    """Yields kept output as that of a stage whose result was known, numbered behind the lines of its run."""

    def __init__(self, *, archive: LogArchive, keep: KeepLogs, clock: Clock) -> None:
        """Read `archive`, once `keep` has put there what is still on its way."""
        self._archive = archive
        self._keep = keep
        self._clock = clock

    async def __call__(self, record: StageRecord, *, after: int) -> AsyncIterator[Sequence[LogLine]]:
        """The lines of a stage's original run, after a number; none for a stage that was not a hit."""
        if record.cache is not CacheUse.HIT or record.log is None:
            return
        await self._keep.settle(record.log)
        try:
            async for lines in self._archive.read_after(record.log, max(0, after - REPLAYED_FROM)):
                yield [
                    LogLine(
                        sequence=REPLAYED_FROM + line.sequence, line=replace(line.line, stage=record.name)
                    )
                    for line in lines
                ]
        except LogGone as exc:
            if after < REPLAYED_FROM:
                yield [self._say(record.name, exc.message)]

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
