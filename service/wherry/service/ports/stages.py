"""The interface by which behaviour is added: run one stage."""

from collections.abc import Sequence
from typing import Protocol

from wherry.service.domain.states import Phase, State
from wherry.service.domain.task import AttemptId, Outcome, StageTask
from wherry.service.ports.logs import LogStream


class StageObserver(Protocol):
    """Is told what happens while a stage is attempted."""

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        """The attempt is being prepared or runs now, and what of that is under way."""
        ...

    async def waits(self, reason: str) -> None:
        """The stage cannot be prepared yet, because others hold what it needs."""
        ...

    async def tries_again(self) -> None:
        """The attempt has failed, and another one begins."""
        ...

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        """The stage, or Wherry about it, wrote lines."""
        ...


class StageRunner(Protocol):
    """Gives a stage its outputs. Wrapped, one concern a wrapper; the order is chosen in bootstrap.

    Cancelling the task that runs it stops the stage; everything it made is gone when it returns.
    """

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Return how it ended. Raises only what is a bug."""
        ...
