"""A StageRunner that says where the life of an attempt has come to, so that a test can end it there."""

from collections.abc import Sequence

from wherry.service.domain.states import Phase, State
from wherry.service.domain.task import AttemptId, Outcome, StageTask
from wherry.service.ports.faults import Faults
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.passing_observer import PassingObserver


class FaultyStageRunner(StageRunner):
    """Reaches a point before and after the inner runner, and at each thing that this one tells."""

    def __init__(self, inner: StageRunner, faults: Faults, *, before: str, after: str) -> None:
        """Wrap `inner`; the points around it are called so."""
        self._inner = inner
        self._faults = faults
        self._before = before
        self._after = after

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Run the stage."""
        self._faults.reach(self._before)
        outcome = await self._inner.run(task, attempt, _FaultyObserver(observer, self._faults))
        self._faults.reach(self._after)
        return outcome


class _FaultyObserver(PassingObserver):
    """Points: `fetching`, `starting`, `writing` (a line that is not kept yet), `wrote`, `collecting`, `publishing`."""

    def __init__(self, inner: StageObserver, faults: Faults) -> None:
        super().__init__(inner)
        self._faults = faults

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        await super().entered(state, phase)
        self._faults.reach(phase or ("starting" if state is State.RUNNING else state))

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        if stream is LogStream.STDOUT:
            self._faults.reach("writing")
        await super().wrote(stream, lines)
        if stream is LogStream.STDOUT:
            self._faults.reach("wrote")
