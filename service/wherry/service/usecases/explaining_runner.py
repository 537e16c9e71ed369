"""A StageRunner that says what a failed stage lacked."""

import posixpath
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from wherry.service.domain.denied import find_denied
from wherry.service.domain.images.installation import WORKSPACE_AT
from wherry.service.domain.images.missing import Missing, find_missing
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.task import AttemptId, Failed, Outcome, StageTask
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.passing_observer import PassingObserver
from wherry.service.usecases.workspace_contents import at_in_workspace

# Python writes a line or two behind the one that tells; a shell none.
_LINES_KEPT = 30

# What shells end with when a program must not be executed.
_NOT_EXECUTABLE = 126


class ExplainingStageRunner(StageRunner):
    """Looks through the last lines of a stage that failed for what it lacks, or was not to change."""

    def __init__(self, inner: StageRunner) -> None:
        """Wrap `inner`."""
        self._inner = inner

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Return the outcome; when it is known what was lacking, its reason says so and a line says what to do."""
        kept = _Keeping(observer)
        outcome = await self._inner.run(task, attempt, kept)
        if not isinstance(outcome, Failed) or not outcome.exit_code:
            return outcome
        lines = [line.decode(errors="replace") for line in kept.lines]
        missing = find_missing(lines, outcome.exit_code, task.image, task.files) or _denied(
            task, lines, outcome
        )
        if missing is None:
            return outcome
        await observer.wrote(LogStream.SYSTEM, [missing.advice.encode()])
        return replace(outcome, reason=f"{outcome.reason}: {missing.what}")


def _denied(task: StageTask, lines: Sequence[str], outcome: Failed) -> Missing | None:
    if outcome.exit_code == _NOT_EXECUTABLE:
        return None
    inputs = [_inside(task, data.project_path) for data in task.data if not data.writable]
    return find_denied(lines, _inside(task, task.stage.wdir), inputs)


def _inside(task: StageTask, path: ProjectPath) -> str:
    return posixpath.normpath(posixpath.join(WORKSPACE_AT, at_in_workspace(task, path)))


class _Keeping(PassingObserver):
    """Passes on, and keeps the last lines."""

    def __init__(self, inner: StageObserver) -> None:
        super().__init__(inner)
        self.lines: deque[bytes] = deque(maxlen=_LINES_KEPT)

    async def began(self, attempt: AttemptId) -> None:
        self.lines.clear()
        await super().began(attempt)

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        if stream is not LogStream.SYSTEM:
            self.lines.extend(lines)
        await super().wrote(stream, lines)
