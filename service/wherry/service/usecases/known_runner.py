"""A StageRunner that uses known results."""

from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import AttemptId, Outcome, StageTask, Succeeded
from wherry.service.domain.usage import NOTHING_COUNTED
from wherry.service.ports.clock import Clock
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.find_result import FindResult, Known
from wherry.service.usecases.patience import patiently


class KnownStageRunner(StageRunner):
    """Answers what is known at once; leaves the rest to the inner runner."""

    def __init__(self, inner: StageRunner, *, find: FindResult, clock: Clock) -> None:
        """Wrap `inner`."""
        self._clock = clock
        self._inner = inner
        self._find = find

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Return the known outcome, or what the inner runner makes of the stage."""
        known = await patiently(lambda: self._find(task), self._clock)
        return await self._inner.run(task, attempt, observer) if known is None else as_known(known, task)


def as_known(known: Known, task: StageTask) -> Succeeded:
    """The outcome of a stage whose result is known."""
    result = known.result
    if result is not None and result.run_id == task.run_id:
        # Computed in this very run, whose service was killed between keeping the result and saying so.
        return Succeeded(
            entry=known.entry,
            cache=CacheUse.MISS,
            wall_s=result.wall_s,
            usage=result.usage,
            log=result.log,
            undeclared=result.undeclared,
        )
    return Succeeded(
        entry=known.entry,
        cache=CacheUse.HIT,
        wall_s=result.wall_s if result else 0.0,
        usage=result.usage if result else NOTHING_COUNTED,
        from_run=result.run_id if result else None,
        from_user=result.user if result else None,
        source=known.source,
        log=result.log if result else None,
        undeclared=result.undeclared if result else None,
    )
