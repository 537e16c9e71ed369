"""Where runs are kept."""

from collections.abc import Sequence
from typing import Protocol

from wherry.service.domain.run import Event, NewRun, Run, StageRecord
from wherry.service.domain.task import RunId


class RunStore(Protocol):
    """Runs, their stages and their events. Every change of state is one event, numbered in order."""

    async def create(self, new: NewRun) -> tuple[Run, bool]:
        """Store a run, state queued, with its stages; the bool says whether it is new.

        The same idempotency key by the same user gives the run that exists. An empty name is filled
        with an adjective and an animal that no run of the project has. What it was submitted with is kept in the
        same transaction: a run that exists can be gone on with.
        """
        ...

    async def get(self, run: str) -> Run:
        """The run with this id, or the newest with this name.

        Raises:
            RunUnknown: if there is none.
        """
        ...

    async def list_page(
        self, *, project: str | None, active_only: bool, before: RunId | None, limit: int
    ) -> Sequence[Run]:
        """Runs without stages, newest first, those older than `before`."""
        ...

    async def save_run(self, run: Run) -> None:
        """Keep the run's own fields (not its stages) and append an event.

        A run in a final state is never changed again: then nothing happens.
        """
        ...

    async def request_stop(self, run_id: RunId) -> None:
        """Keep that somebody asked to stop the run, so that it is not forgotten when the service ends."""
        ...

    async def save_stages(self, run_id: RunId, stages: Sequence[StageRecord]) -> None:
        """Keep stages and append an event for each, in one transaction."""
        ...

    async def events_after(self, run_id: RunId, sequence: int, limit: int) -> Sequence[Event]:
        """Events with a greater sequence number, oldest first, at most `limit`."""
        ...

    async def wait_for_events(self, run_id: RunId, sequence: int, timeout_s: float) -> None:
        """Return once an event after `sequence` exists, or when time is up."""
        ...

    async def list_stopping(self) -> Sequence[RunId]:
        """The runs of this service that somebody asked to stop, and that have not ended."""
        ...

    async def list_active(self) -> Sequence[Run]:
        """All runs of this service that are in no final state, with stages, oldest first."""
        ...
