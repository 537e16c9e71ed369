"""Follow the execution of another service: its output, line for line, until its lease is over."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from wherry.service.domain.lease import Lease
from wherry.service.domain.states import State
from wherry.service.domain.task import AttemptId
from wherry.service.ports.clock import Clock
from wherry.service.ports.leases import Leases
from wherry.service.ports.passed_output import OutputPart, PassedOutput
from wherry.service.ports.stages import OutputPlace
from wherry.service.usecases.patience import patiently
from wherry.service.usecases.shared_output import SharedOutput

# Each part is about a quarter of a megabyte.
_PARTS = 8


class FollowLease:
    """Tells the runs that take part what another service executes, each part of it from the first line on.

    They know what they have kept of an attempt. So one that goes on under another lease, because its service was
    restarted, is told on from there, and so is one that an earlier life of this service followed.
    """

    def __init__(
        self, leases: Leases, passed: PassedOutput, clock: Clock, output: SharedOutput, *, look_s: float
    ) -> None:
        """Tell `output`, looking so often."""
        self._leases = leases
        self._passed = passed
        self._clock = clock
        self._output = output
        self._look_s = look_s
        self._attempt: AttemptId | None = None
        self.has_all = False
        """Whether all was told that the execution wrote: its holder has come to say so."""

    async def __call__(self, lease: Lease) -> Lease | None:
        """Return once the lease is over and all of the output told; what stands in its place, if anything does."""
        self._attempt, self.has_all = None, False
        if not await patiently(lambda: self._leases.watch(lease.key, lease.token), self._clock):
            return await patiently(lambda: self._leases.find(lease.key), self._clock)
        origin = OutputPlace(run_id=lease.run_id, user=lease.user, stage=lease.stage, after=0, attempt=None)
        await self._output.attached(origin, State.RUNNING)
        number = await self._told_before(lease)
        while True:
            await self._clock.sleep(self._look_s)
            # In this order: all that was passed on before the lease was given up is there once that is seen.
            standing = await patiently(lambda: self._leases.find(lease.key), self._clock)
            number = await self._tell(lease, number)
            if standing is None or standing.token != lease.token or standing.failure is not None:
                return standing
            if standing.expires_at <= self._clock.now():
                return standing

    async def _told_before(self, lease: Lease) -> int:
        """Number of the last part of the attempts before the one that the runs have come to."""
        known, number = self._output.place().attempt, 0
        while known is not None and (parts := await self._parts_after(lease, number)):
            for part in parts:
                if part.attempt == known:
                    return number
                number = part.number
        return 0

    async def _tell(self, lease: Lease, number: int) -> int:
        """Tell the parts after a number; returns the last one's."""
        while parts := await self._parts_after(lease, number):
            for part in parts:
                await self._tell_part(part)
                number = part.number
        return number

    async def _parts_after(self, lease: Lease, number: int) -> Sequence[OutputPart]:
        return await patiently(
            partial(self._passed.read_after, lease.token, number, limit=_PARTS), self._clock
        )

    async def _tell_part(self, part: OutputPart) -> None:
        if not part.lines:
            self.has_all = True
            return
        if part.attempt is not None and part.attempt != self._attempt:
            await self._begin(part.attempt)
        for stream, together in groupby(part.lines, key=lambda line: line[0]):
            await self._output.wrote(stream, [text for _, text in together])

    async def _begin(self, attempt: AttemptId) -> None:
        self._attempt = attempt
        if self._output.place().attempt == attempt:
            await self._output.retold(attempt)
        else:
            await self._output.began(attempt)
        # With this, where its lines begin is kept before they are.
        await self._output.entered(State.RUNNING)
