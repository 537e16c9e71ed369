"""Pass the output of an execution on to the services that wait for it, as long as any does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.lease import Lease
from wherry.service.domain.states import Phase, State
from wherry.service.domain.task import AttemptId
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.logs import LogStream
from wherry.service.ports.passed_output import OutputPart, PassedOutput
from wherry.service.ports.stages import OutputPlace, StageObserver
from wherry.service.usecases.kept_lines import KeptLines
from wherry.service.usecases.shared_output import SharedOutput

# What comes within so long is passed on together.
_GATHER_S = 1.0

# A part is not much larger than this: whoever reads holds a few of them.
_PART_BYTES = 256 * 1024


class PassOutput:
    """Takes part in one execution for the sake of those who wait elsewhere: they get all of it, from its start."""

    def __init__(
        self, output: SharedOutput, lease: Lease, *, passed: PassedOutput, clock: Clock, log: EventLog
    ) -> None:
        """Pass on what comes to `output`, under the token of `lease`; nothing before `begin` or `finish`."""
        self._output = output
        self._clock = clock
        self._listener = _Listener(lease, passed, clock, log)
        self._joining: asyncio.Task[None] | None = None
        self._passing: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether somebody is told."""
        return self._joining is not None

    def begin(self) -> None:
        """Pass on what was written so far, and from now on what comes; returns at once."""
        if self._joining is None:
            self._joining = asyncio.create_task(self._output.join(self._listener, keeps=False))
            self._passing = asyncio.create_task(self._go_on(self._joining))

    async def finish(self) -> None:
        """Return when all of it is passed on, or the database is away."""
        self.begin()
        assert self._joining is not None
        assert self._passing is not None
        await asyncio.wait([self._joining])
        self._passing.cancel()
        await asyncio.wait([self._passing])
        self._output.leave(self._listener)
        await self._listener.finish()

    async def _go_on(self, joining: "asyncio.Task[None]") -> None:
        await asyncio.wait([joining])
        while True:
            await self._listener.flush()
            await self._clock.sleep(_GATHER_S)


@dataclass(slots=True)
class _Unsent:
    """Lines of one attempt that are to be passed on."""

    attempt: AttemptId | None
    lines: list[tuple[LogStream, bytes]] = field(default_factory=list)
    size: int = 0


class _Listener(StageObserver):
    """Gathers lines into parts."""

    def __init__(self, lease: Lease, passed: PassedOutput, clock: Clock, log: EventLog) -> None:
        self._lease = lease
        self._passed = passed
        self._clock = clock
        self._log = log
        self._attempt: AttemptId | None = None
        self._told = KeptLines()
        self._again = KeptLines()
        self._unsent: list[_Unsent] = []
        self._sent = 0
        self._sending = asyncio.Lock()

    async def began(self, attempt: AttemptId) -> None:
        self._attempt = attempt
        self._told.clear()
        self._again.clear()

    async def resumed(self, attempt: AttemptId) -> None:
        told = self._told.copy() if attempt == self._attempt else KeptLines()
        await self.began(attempt)
        # Lines of our own are not written again.
        self._again = told.of_command()
        self._told = told

    async def attached(self, origin: OutputPlace, state: State) -> None:
        self._attempt = origin.attempt

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        """Not passed on."""

    async def waits(self, reason: str) -> None:
        """Not passed on."""

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        new = self._again.leave_out(stream, lines)
        self._told.add(stream, new)
        for line in new:
            last = self._unsent[-1] if self._unsent else None
            if last is None or last.attempt != self._attempt or last.size >= _PART_BYTES:
                last = _Unsent(self._attempt)
                self._unsent.append(last)
            last.lines.append((stream, line))
            last.size += len(line)
        if len(self._unsent) > 1:
            await self.flush()

    def place(self) -> OutputPlace:
        """Nothing is kept here: it is where the one who submitted first has it."""
        lease = self._lease
        return OutputPlace(run_id=lease.run_id, user=lease.user, stage=lease.stage, after=0, attempt=None)

    async def finish(self) -> None:
        """Pass on the rest, and a part without lines: the end."""
        self._unsent.append(_Unsent(self._attempt, size=_PART_BYTES))
        await self.flush()

    async def flush(self) -> None:
        """Pass on what has been gathered; what the database does not take now stays for the next time."""
        async with self._sending:
            while self._unsent:
                # Taken out first: what comes meanwhile goes into another part.
                first = self._unsent.pop(0)
                part = OutputPart(number=self._sent + 1, attempt=first.attempt, lines=first.lines)
                try:
                    await self._passed.add(self._lease.token, part, now=self._clock.now())
                except BaseException as exc:
                    # It may be there all the same: nothing is added to a part that was on its way.
                    first.size = _PART_BYTES
                    self._unsent.insert(0, first)
                    if not isinstance(exc, Unavailable):
                        raise
                    self._log.warning("output is not passed on now", run_id=self._lease.run_id)
                    return
                self._sent += 1
