"""Output of attempts whose results are kept: what a hit shows again."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from wherry.service.domain.task import LogName
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
