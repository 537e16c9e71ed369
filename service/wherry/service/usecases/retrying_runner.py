"""A StageRunner that runs a command again that failed, as often as its stage says."""

from dataclasses import replace

from wherry.service.domain.task import AttemptId, Failed, Outcome, StageTask, Succeeded
from wherry.service.ports.clock import Identities
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver, StageRunner


class RetryingStageRunner(StageRunner):
    """Makes further attempts, each in a workspace of its own, before a stage counts as failed.

    Only of commands that ran: what cannot even be started will not start the next time.
    """

    def __init__(self, inner: StageRunner, identities: Identities) -> None:
        """Wrap `inner`; further attempts are named by `identities`."""
        self._inner = inner
        self._identities = identities

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Return the first success, or how the last attempt ended."""
        retries = task.settings.retries or 0
        outcome = await self._inner.run(task, attempt, observer)
        earlier: list[Failed] = []
        for number in range(1, retries + 1):
            if not isinstance(outcome, Failed) or outcome.exit_code is None:
                break
            said = f"{outcome.reason}: attempt {number + 1} of {retries + 1} begins"
            await observer.wrote(LogStream.SYSTEM, [said.encode()])
            earlier.append(outcome)
            outcome = await self._inner.run(task, self._identities.new_attempt_id(), observer)
        return (
            replace(outcome, earlier=tuple(earlier)) if isinstance(outcome, Failed | Succeeded) else outcome
        )
