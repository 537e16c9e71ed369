"""One execution of a stage, and those who wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from wherry.service.domain.task import Outcome, StageTask
from wherry.service.ports.stages import StageObserver
from wherry.service.usecases.shared_output import SharedOutput


class Flight:
    """Goes on as long as somebody waits for it."""

    def __init__(
        self, task: StageTask, output: SharedOutput, execution: Coroutine[Any, Any, Outcome]
    ) -> None:
        """Begin the execution of a task; it writes to `output`."""
        self.task = task
        self._output = output
        self._execution = asyncio.create_task(execution, name=f"run {task.run_id} stage {task.stage.name}")
        self._present: set[StageObserver] = set()

    @property
    def is_open(self) -> bool:
        """Whether it may still be joined."""
        return not (self._execution.done() or self._execution.cancelling())

    def when_done(self, callback: Callable[[], None]) -> None:
        """Have something called when the execution has ended."""
        self._execution.add_done_callback(lambda _: callback())

    async def take_part(self, observer: StageObserver) -> Outcome:
        """Wait for the end. Whoever is cancelled leaves; the last one stops the execution."""
        self._present.add(observer)
        try:
            await self._output.join(observer)
            return await asyncio.shield(self._execution)
        finally:
            self._present.discard(observer)
            if not self._present and not self._execution.done():
                self._execution.cancel()
                await asyncio.wait([self._execution])
            self._output.leave(observer)
