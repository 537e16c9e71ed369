"""What one execution writes, kept for every run that takes part in it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from wherry.service.domain.states import Phase, State
from wherry.service.domain.task import AttemptId
from wherry.service.ports.logs import LogLine, LogStore, LogStream
from wherry.service.ports.stages import OutputPlace, StageObserver
from wherry.service.usecases.kept_lines import KeptLines

_PAGE = 2_000


@dataclass(eq=False, slots=True)
class _Member:
    """One run that takes part."""

    observer: StageObserver
    ahead: KeptLines = field(default_factory=KeptLines)
    """Lines that it has kept already, and that will come again."""
    keeps: bool = True
    """Whether it has a log of its own."""
    leaving: bool = False
    """It is gone, and only stays until those who are joining have what it kept."""

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        """Keep what is not kept yet."""
        new = self.ahead.leave_out(stream, lines)
        if new:
            await self.observer.wrote(stream, new)


class SharedOutput(StageObserver):
    """Tells every member what happens. Whoever comes late gets what was written before, first.

    An execution that an earlier life of the service began writes its output again from the start. The lines that a
    member has kept are counted and left out: what a container wrote is cut into the same lines every time. So are
    those of an execution elsewhere, which is told from its start to whoever followed it in an earlier life.
    """

    def __init__(self, logs: LogStore) -> None:
        """Read from `logs` what members have kept."""
        self._logs = logs
        self._members: list[_Member] = []
        self._joining = 0
        self._state = State.QUEUED
        self._written = KeptLines()
        self._tells_all = False
        """Whether the lines of our own that were written in an earlier life come again as well."""
        self._origin: OutputPlace | None = None
        self._lock = asyncio.Lock()

    async def join(self, observer: StageObserver, *, keeps: bool = True) -> None:
        """Add a member; the first is whose execution it is. When this returns it has all that the others have.

        One that does not keep what it is told only listens: of an attempt that is resumed it is told all once more.
        """
        if not self._members:
            self._members.append(_Member(observer, keeps=keeps))
            return
        self._joining += 1
        try:
            async with self._lock:
                member = await self._caught_up(observer)
                member.keeps = keeps
                self._members.append(member)
        finally:
            self._joining -= 1
            self._drop_leaving()

    def leave(self, observer: StageObserver) -> None:
        """Take a member out."""
        for member in self._members:
            member.leaving |= member.observer is observer
        self._drop_leaving()

    async def began(self, attempt: AttemptId) -> None:
        """See the port."""
        async with self._lock:
            self._begin_anew(tells_all=False)
            for member in self._staying():
                member.ahead.clear()
                await member.observer.began(attempt)

    async def resumed(self, attempt: AttemptId) -> None:
        """See the port."""
        await self._resume(attempt, tells_all=False)

    async def retold(self, attempt: AttemptId) -> None:
        """An attempt elsewhere, which an earlier life of the service followed, is told from its start.

        As when one is resumed, but what Wherry said of it comes again as well.
        """
        await self._resume(attempt, tells_all=True)

    async def attached(self, origin: OutputPlace, state: State) -> None:
        """See the port. Whoever joins later is attached to the same."""
        async with self._lock:
            self._begin_anew(tells_all=True)
            self._origin, self._state = origin, state
            for member in self._staying():
                await member.observer.attached(origin, state)
                place = member.observer.place()
                goes_on = member.keeps and place.attempt == origin.attempt
                member.ahead = await self._kept(place) if goes_on else KeptLines()

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        """See the port."""
        async with self._lock:
            self._state = state
            for member in self._staying():
                await member.observer.entered(state, phase)

    async def waits(self, reason: str) -> None:
        """See the port."""
        async with self._lock:
            for member in self._staying():
                await member.observer.waits(reason)

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        """See the port."""
        async with self._lock:
            self._written.add(stream, lines)
            for member in list(self._members):
                if member in self._members:  # it may leave while others are told
                    await member.wrote(stream, lines)

    def place(self) -> OutputPlace:
        """Where all of it is kept: with the member that has been there longest."""
        return next(member for member in self._members if member.keeps).observer.place()

    def _staying(self) -> list[_Member]:
        return [member for member in self._members if not member.leaving]

    def _drop_leaving(self) -> None:
        if not self._joining:
            self._members = self._staying()

    def _begin_anew(self, *, tells_all: bool) -> None:
        self._written.clear()
        self._tells_all = tells_all
        self._origin = None

    async def _resume(self, attempt: AttemptId, *, tells_all: bool) -> None:
        async with self._lock:
            self._begin_anew(tells_all=tells_all)
            self._state = State.RUNNING
            for member in self._staying():
                await member.observer.resumed(attempt)
                kept = await self._kept(member.observer.place()) if member.keeps else KeptLines()
                member.ahead = self._come_again(kept)

    def _come_again(self, kept: KeptLines) -> KeptLines:
        return kept if self._tells_all else kept.of_command()

    async def _caught_up(self, observer: StageObserver) -> _Member:
        source, own = self.place(), observer.place()
        if own.attempt is not None and own.attempt == source.attempt:
            # It took part before the service was restarted.
            await observer.resumed(own.attempt)
            known = await self._kept(own)
        else:
            origin = source if self._origin is None else replace(self._origin, attempt=source.attempt)
            await observer.attached(origin, self._state)
            known = KeptLines()
        had = await self._copy(source, observer, known)
        return _Member(observer, self._come_again(had - self._written))

    async def _kept(self, place: OutputPlace) -> KeptLines:
        """The lines that a run has kept of the attempt."""
        kept = KeptLines()
        after = place.after
        while page := await self._read(place, after):
            kept.add_page(page)
            after = page[-1].sequence
        return kept

    async def _copy(self, source: OutputPlace, observer: StageObserver, known: KeptLines) -> KeptLines:
        """Write what another member has kept and this one has not; returns the lines it has then."""
        seen, left = KeptLines(), known.copy()
        after = source.after
        while page := await self._read(source, after):
            after = page[-1].sequence
            seen.add_page(page)
            for stream, together in groupby(page, key=lambda line: line.line.stream):
                new = left.leave_out(stream, [line.line.text for line in together])
                if new:
                    await observer.wrote(stream, new)
        return seen | known

    async def _read(self, place: OutputPlace, after: int) -> Sequence[LogLine]:
        return await self._logs.read_after(place.run_id, after, stage=place.stage, limit=_PAGE)
