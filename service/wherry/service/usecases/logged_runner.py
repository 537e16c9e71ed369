"""A StageRunner that keeps what a stage wrote with its result, so that a hit can show it again."""

from dataclasses import replace

from wherry.service.domain.task import AttemptId, LogName, Outcome, StageTask, Succeeded
from wherry.service.ports.log_archive import LogToKeep
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.keep_logs import KeepLogs


class LoggedStageRunner(StageRunner):
    """Names the log of each success after its attempt, and has it kept."""

    def __init__(self, inner: StageRunner, keep: KeepLogs) -> None:
        """Wrap `inner`, whose observer has written every line by the time that it returns."""
        self._inner = inner
        self._keep = keep

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Run; a success says under which name its output is kept."""
        outcome = await self._inner.run(task, attempt, observer)
        if not isinstance(outcome, Succeeded) or not task.cacheable:
            return outcome
        output = observer.place()
        # It may have been a further attempt, or one that an earlier life of the service began.
        name = LogName(output.attempt or attempt)
        await self._keep.start(
            LogToKeep(name=name, run_id=output.run_id, stage=output.stage, after=output.after)
        )
        return replace(outcome, log=name)
