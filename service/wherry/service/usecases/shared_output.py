"""What one execution writes, kept for every run that takes part in it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from wherry.service.domain.states import Phase, State
from wherry.service.domain.task import AttemptId
from wherry.service.ports.logs import LogLine, LogStore, LogStream
from wherry.service.ports.stages import OutputPlace, StageObserver

_PAGE = 2_000

_Lines = Counter[LogStream]


@dataclass(eq=False, slots=True)
class _Member:
    """One run that takes part."""

    observer: StageObserver
    ahead: _Lines = field(default_factory=Counter)
    """Lines that it has kept already, and that will come again."""
    keeps: bool = True
    """Whether it has a log of its own."""
    leaving: bool = False
    """It is gone, and only stays until those who are joining have what it kept."""

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        """Keep what is not kept yet."""
        known = min(self.ahead[stream], len(lines))
        self.ahead[stream] -= known
        if known < len(lines):
            await self.observer.wrote(stream, lines[known:])


class SharedOutput(StageObserver):
    """Tells every member what happens. Whoever comes late gets what was written before, first.

    An execution that an earlier life of the service began writes its output again from the start. The lines that a
    member has kept are counted and left out: what a container wrote is cut into the same lines every time.
    """

    def __init__(self, logs: LogStore) -> None:
        """Read from `logs` what members have kept."""
        self._logs = logs
        self._members: list[_Member] = []
        self._joining = 0
        self._state = State.QUEUED
        self._written: _Lines = Counter()
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
            self._written.clear()
            self._origin = None
            for member in self._staying():
                member.ahead.clear()
                await member.observer.began(attempt)

    async def resumed(self, attempt: AttemptId) -> None:
        """See the port."""
        async with self._lock:
            self._state = State.RUNNING
            self._written.clear()
            self._origin = None
            for member in self._staying():
                await member.observer.resumed(attempt)
                kept = await self._kept(member.observer.place()) if member.keeps else Counter[LogStream]()
                member.ahead = _of_the_stage(kept)

    async def attached(self, origin: OutputPlace, state: State) -> None:
        """See the port. Whoever joins later is attached to the same."""
        async with self._lock:
            self._origin, self._state = origin, state
            for member in self._staying():
                await member.observer.attached(origin, state)

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
            self._written[stream] += len(lines)
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

    async def _caught_up(self, observer: StageObserver) -> _Member:
        source, own = self.place(), observer.place()
        if own.attempt is not None and own.attempt == source.attempt:
            # It took part before the service was restarted.
            await observer.resumed(own.attempt)
            known = await self._kept(own)
        else:
            await observer.attached(self._origin or source, self._state)
            known = Counter()
        had = await self._copy(source, observer, known)
        return _Member(observer, _of_the_stage(had) - self._written)

    async def _kept(self, place: OutputPlace) -> _Lines:
        """How many lines of each stream a run has kept of the attempt."""
        kept: _Lines = Counter()
        after = place.after
        while page := await self._read(place, after):
            kept.update(line.line.stream for line in page)
            after = page[-1].sequence
        return kept

    async def _copy(self, source: OutputPlace, observer: StageObserver, known: _Lines) -> _Lines:
        """Write what another member has kept and this one has not; returns how many lines it has then."""
        seen: _Lines = Counter()
        after = source.after
        while page := await self._read(source, after):
            after = page[-1].sequence
            for stream, together in groupby(page, key=lambda line: line.line.stream):
                lines = [line.line.text for line in together]
                new = lines[max(0, known[stream] - seen[stream]) :]
                seen[stream] += len(lines)
                if new:
                    await observer.wrote(stream, new)
        return seen | known

    async def _read(self, place: OutputPlace, after: int) -> Sequence[LogLine]:
        return await self._logs.read_after(place.run_id, after, stage=place.stage, limit=_PAGE)


def _of_the_stage(lines: _Lines) -> _Lines:
    """Without lines of our own, which are not written again."""
    return Counter({stream: count for stream, count in lines.items() if stream is not LogStream.SYSTEM})
