"""Faults on request, for tests of what a service does after it was killed."""

from typing import Protocol


class Faults(Protocol):
    """Decides what happens at named points of the life of an attempt. A service has none unless it is asked for."""

    def reach(self, point: str) -> None:
        """A point is reached; this may not return."""
        ...
