"""Follow the execution of another service: its output, line for line, until its lease is over."""

from collections import Counter
from functools import partial
from itertools import groupby

from wherry.service.domain.lease import Lease
from wherry.service.domain.states import State
from wherry.service.domain.task import AttemptId
from wherry.service.ports.clock import Clock
from wherry.service.ports.leases import Leases
from wherry.service.ports.logs import LogStream
from wherry.service.ports.passed_output import OutputPart, PassedOutput
from wherry.service.ports.stages import OutputPlace, StageObserver
from wherry.service.usecases.patience import patiently

# Each part is about a quarter of a megabyte.
_PARTS = 8


class FollowLease:
    """What one who waits has been told. An execution that goes on under another lease is told on from there."""

    def __init__(
        self, leases: Leases, passed: PassedOutput, clock: Clock, observer: StageObserver, *, look_s: float
    ) -> None:
        """Tell `observer`, looking so often."""
        self._leases = leases
        self._passed = passed
        self._clock = clock
        self._observer = observer
        self._look_s = look_s
        self._attached_to: str | None = None
        self._attempt: AttemptId | None = None
        self._told: Counter[LogStream] = Counter()

    async def __call__(self, lease: Lease) -> Lease | None:
        """Return once the lease is over and all of the output told; what stands in its place, if anything does."""
        if not await patiently(lambda: self._leases.watch(lease.key, lease.token), self._clock):
            return await patiently(lambda: self._leases.find(lease.key), self._clock)
        if self._attached_to != lease.run_id:
            self._attached_to = lease.run_id
            origin = OutputPlace(
                run_id=lease.run_id, user=lease.user, stage=lease.stage, after=0, attempt=None
            )
            await self._observer.attached(origin, State.RUNNING)
        number, again = 0, Counter(self._told)
        while True:
            await self._clock.sleep(self._look_s)
            # In this order: all that was passed on before the lease was given up is there once that is seen.
            standing = await patiently(lambda: self._leases.find(lease.key), self._clock)
            number = await self._tell(lease, number, again)
            if standing is None or standing.token != lease.token or standing.failure is not None:
                return standing
            if standing.expires_at <= self._clock.now():
                return standing

    async def _tell(self, lease: Lease, number: int, again: Counter[LogStream]) -> int:
        """Tell the parts after a number; returns the last one's."""
        while parts := await patiently(
            partial(self._passed.read_after, lease.token, number, limit=_PARTS), self._clock
        ):
            for part in parts:
                await self._tell_part(part, again)
                number = part.number
        return number

    async def _tell_part(self, part: OutputPart, again: Counter[LogStream]) -> None:
        if part.attempt != self._attempt:
            self._attempt = part.attempt
            self._told.clear()
            again.clear()
            if part.attempt is not None:
                await self._observer.began(part.attempt)
        for stream, together in groupby(part.lines, key=lambda line: line[0]):
            lines = [text for _, text in together]
            known = min(again[stream], len(lines))
            again[stream] -= known
            if known < len(lines):
                self._told[stream] += len(lines) - known
                await self._observer.wrote(stream, lines[known:])
