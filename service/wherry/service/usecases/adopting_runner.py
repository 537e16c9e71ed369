"""A StageRunner that goes on with what an earlier life of the service has begun."""

from wherry.service.domain.task import AttemptId, Outcome, StageTask
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.container_runner import ContainerStageRunner
from wherry.service.usecases.leftovers import Leftovers


class AdoptingStageRunner(StageRunner):
    """Takes up a container that executes the stage already; it has its place on the machine, and waits for none."""

    def __init__(self, inner: StageRunner, *, leftovers: Leftovers, container: ContainerStageRunner) -> None:
        """Wrap `inner`, which makes new attempts."""
        self._inner = inner
        self._leftovers = leftovers
        self._container = container

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Go on with a container that was left, or make a new attempt."""
        leftover = self._leftovers.take(task)
        if leftover is None:
            return await self._inner.run(task, attempt, observer)
        return await self._container.resume(task, leftover, observer)
