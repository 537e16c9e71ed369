"""The service's own log: events with fields, for operators."""

from typing import Protocol


class EventLog(Protocol):
    """Takes a constant message and fields. Never user data, never secrets."""

    def info(self, event: str, **fields: object) -> None:
        """Something worth telling happened."""
        ...

    def warning(self, event: str, **fields: object) -> None:
        """Something is not as it should be, and was dealt with."""
        ...

    def exception(self, event: str, **fields: object) -> None:
        """An unexpected exception is being handled; its traceback is kept."""
        ...
