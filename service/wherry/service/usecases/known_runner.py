"""A StageRunner that uses known results."""

from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import AttemptId, Outcome, StageTask, Succeeded
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.find_result import FindResult, Known


class KnownStageRunner(StageRunner):
    """Answers what is known at once; leaves the rest to the inner runner."""

    def __init__(self, inner: StageRunner, *, find: FindResult) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._find = find

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Return the known outcome, or what the inner runner makes of the stage."""
        known = await self._find(task)
        return await self._inner.run(task, attempt, observer) if known is None else as_hit(known)


def as_hit(known: Known) -> Succeeded:
    """The outcome of a stage whose result is known."""
    return Succeeded(
        entry=known.entry,
        cache=CacheUse.HIT,
        wall_s=known.result.wall_s if known.result else 0.0,
        from_run=known.result.run_id if known.result else None,
        from_user=known.result.user if known.result else None,
        source=known.source,
        log=known.result.log if known.result else None,
        undeclared=known.result.undeclared if known.result else None,
    )
