"""The service's log as lists."""

from wherry.service.ports.event_log import EventLog


class FakeEventLog(EventLog):
    """`warnings` may be looked at by tests; an unexpected exception fails them."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        """Not looked at."""

    def warning(self, event: str, **fields: object) -> None:
        self.warnings.append(event)

    def exception(self, event: str, **fields: object) -> None:
        raise AssertionError(event)
