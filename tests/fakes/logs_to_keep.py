"""What is on its way into the log archive, in a dictionary."""

from collections.abc import Sequence

from wherry.service.domain.task import LogName
from wherry.service.ports.log_archive import LogsToKeep, LogToKeep


class FakeLogsToKeep(LogsToKeep):
    """`noted` may be looked at by tests."""

    def __init__(self) -> None:
        self.noted: dict[LogName, LogToKeep] = {}

    async def note(self, log: LogToKeep) -> None:
        self.noted[log.name] = log

    async def forget(self, name: LogName) -> None:
        self.noted.pop(name, None)

    async def list(self) -> Sequence[LogToKeep]:
        return list(self.noted.values())
