"""A StageRunner that goes on with what an earlier life of the service has begun."""

from wherry.service.domain.task import AttemptId, Outcome, StageTask
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.container_runner import ContainerStageRunner
from wherry.service.usecases.leftovers import Leftovers


class AdoptingStageRunner(StageRunner):
    """Takes up a container that executes the stage already."""

    def __init__(self, container: ContainerStageRunner, leftovers: Leftovers) -> None:
        """Go on with `leftovers`, or let `container` make a new attempt."""
        self._container = container
        self._leftovers = leftovers

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Go on with a container that was left, or make a new attempt."""
        leftover = self._leftovers.take(task)
        if leftover is None:
            return await self._container.run(task, attempt, observer)
        return await self._container.resume(task, leftover, observer)
