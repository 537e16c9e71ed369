"""A StageRunner that lets only so many stages run at once."""

import asyncio

from wherry.service.domain.task import AttemptId, Outcome, StageTask
from wherry.service.ports.stages import StageObserver, StageRunner


class LimitedStageRunner(StageRunner):
    """Makes stages wait for one of a number of places. Known results need none: caching is outside."""

    def __init__(self, inner: StageRunner, *, at_once: int) -> None:
        """Let `at_once` stages of all runs together through to `inner`."""
        self._inner = inner
        self._places = asyncio.Semaphore(at_once)

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Wait for a place, then run."""
        async with self._places:
            return await self._inner.run(task, attempt, observer)
