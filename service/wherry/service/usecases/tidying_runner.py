"""A StageRunner that clears away what an attempt has left, once its result is kept."""

from wherry.service.domain.task import AttemptId, Outcome, StageTask, Succeeded
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.remains import Remains


class TidyingStageRunner(StageRunner):
    """Wraps what keeps results: before that, container and workspace are all there is of the work."""

    def __init__(self, inner: StageRunner, remains: Remains) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._remains = remains

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Run the stage; whatever happens, nothing is left of it by the end of its run.

        Who waits for a success goes on at once: an engine takes as long to remove a container as to make one.
        """
        succeeded = False
        try:
            outcome = await self._inner.run(task, attempt, observer)
            succeeded = isinstance(outcome, Succeeded)
            return outcome
        finally:
            place = observer.place()
            if place.attempt is not None and succeeded:
                await self._remains.clear_later(place.attempt, place.run_id)
            elif place.attempt is not None:
                await self._remains.clear(place.attempt)
