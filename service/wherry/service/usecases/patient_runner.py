"""A StageRunner that makes a further attempt when the infrastructure gave way. The stage is not charged for it."""

from wherry.service.domain.task import AttemptId, Lost, Outcome, StageTask
from wherry.service.ports.clock import Clock, Identities
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.patience import AGAIN_S
from wherry.service.usecases.remains import Remains


class PatientStageRunner(StageRunner):
    """Waits longer from try to try, and gives up in the end: then the stage is lost, with the last reason."""

    def __init__(self, inner: StageRunner, *, remains: Remains, clock: Clock, identities: Identities) -> None:
        """Wrap `inner`; a further attempt begins only when `remains` could clear what the one before left."""
        self._inner = inner
        self._remains = remains
        self._clock = clock
        self._identities = identities

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Return what is no fault of the infrastructure, or the last of its faults."""
        outcome = await self._inner.run(task, attempt, observer)
        for wait_s in AGAIN_S:
            if not (isinstance(outcome, Lost) and outcome.may_pass):
                break
            await observer.waits(outcome.reason)
            await observer.wrote(LogStream.SYSTEM, [f"{outcome.reason}; it is tried again".encode()])
            await self._clock.sleep(wait_s)
            # What may still run somewhere must not run twice.
            if await self._remains.settle():
                outcome = await self._inner.run(task, self._identities.new_attempt_id(), observer)
        return outcome
