"""The interface by which behaviour is added: run one stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wherry.service.domain.states import Phase, State
from wherry.service.domain.task import AttemptId, Outcome, RunId, StageTask
from wherry.service.ports.logs import LogStream


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlace:
    """Where the output of an attempt is kept: in the log of a run, after a line."""

    run_id: RunId
    user: str
    """Whose run it is."""
    stage: str
    after: int
    """Sequence number of the last line before."""
    attempt: AttemptId | None
    """Which attempt's output it is; None: none has begun."""


class StageObserver(Protocol):
    """Is told what happens while a stage is attempted."""

    async def began(self, attempt: AttemptId) -> None:
        """A new attempt is made, the first or a further one: what is written from now on is its output."""
        ...

    async def resumed(self, attempt: AttemptId) -> None:
        """An attempt of an earlier life of the service goes on.

        Where its output is kept already, `place` says so afterwards; else it is to be written from its start.
        """
        ...

    async def attached(self, origin: OutputPlace, state: State) -> None:
        """Somebody else's attempt, in this state, stands for one of our own: its output is written from its start."""
        ...

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        """The attempt is being prepared or runs now, and what of that is under way."""
        ...

    async def waits(self, reason: str) -> None:
        """The stage cannot be prepared yet, because others hold what it needs."""
        ...

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        """The stage, or Wherry about it, wrote lines."""
        ...

    def place(self) -> OutputPlace:
        """Where the output is kept."""
        ...


class StageRunner(Protocol):
    """Gives a stage its outputs. Wrapped, one concern a wrapper; the order is chosen in bootstrap.

    Cancelling the task that runs it stops the stage; everything it made is gone when it returns.
    """

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Return how it ended. Raises only what is a bug, or LeaseLost where the task has a fence."""
        ...
