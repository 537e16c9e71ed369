"""Output of attempts whose results are kept: what a hit shows again."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from wherry.service.domain.task import LogName, RunId
from wherry.service.ports.logs import LogLine


class LogArchive(Protocol):
    """Whole logs by name, written once. Every method may raise StoreUnavailable."""

    async def keep(self, name: LogName, lines: AsyncIterator[Sequence[LogLine]]) -> None:
        """Keep lines with their numbers. Memory use does not depend on how many there are."""
        ...

    def read_after(self, name: LogName, sequence: int) -> AsyncIterator[Sequence[LogLine]]:
        """The lines after a number, in parts.

        Raises:
            LogGone: if there is no such log.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogToKeep:
    """Lines of a run that belong into the archive."""

    name: LogName
    run_id: RunId
    stage: str
    after: int
    """Sequence number of the last line before."""


class LogsToKeep(Protocol):
    """What is still on its way into the archive; it outlives the service. Every method may raise Unavailable."""

    async def note(self, log: LogToKeep) -> None:
        """Remember a log; one of the same name is replaced."""
        ...

    async def forget(self, name: LogName) -> None:
        """It is kept, or there is nothing left of it."""
        ...

    async def list(self) -> Sequence[LogToKeep]:
        """All that is remembered."""
        ...
