"""Show what the command of a known result wrote when it ran."""

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
                yield [self._say(record, exc.message)]

    def _say(self, record: StageRecord, text: str) -> LogLine:
        line = NewLine(time=self._clock.now(), stage=record.name, stream=LogStream.SYSTEM, text=text.encode())
        return LogLine(sequence=REPLAYED_FROM, line=line)
