"""Time and chance, as arguments."""

from datetime import datetime
from typing import Protocol

from wherry.service.domain.task import AttemptId


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """This instant, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back, for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when so much time has passed."""
        ...


class Identities(Protocol):
    """Makes identifiers that were never used before."""

    def new_attempt_id(self) -> AttemptId:
        """For one attempt: lower-case letters and digits, fit for a folder and a container name."""
        ...
