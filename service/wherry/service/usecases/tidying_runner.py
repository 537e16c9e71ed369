"""A StageRunner that clears away what an attempt has left, once its result is kept."""

from wherry.service.domain.task import AttemptId, Outcome, StageTask
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.remains import Remains


class TidyingStageRunner(StageRunner):
    """Wraps what keeps results: before that, container and workspace are all there is of the work."""

    def __init__(self, inner: StageRunner, remains: Remains) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._remains = remains

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Run the stage; whatever happens, nothing is left of it afterwards."""
        try:
            return await self._inner.run(task, attempt, observer)
        finally:
            newest = observer.place().attempt
            if newest is not None:
                await self._remains.clear(newest)
