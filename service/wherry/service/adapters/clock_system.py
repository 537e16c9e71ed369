"""Time from the machine's clock, identifiers from its random numbers."""

import asyncio
import time
import uuid
from datetime import UTC, datetime

from wherry.service.domain.task import AttemptId
from wherry.service.ports.clock import Clock, Identities


class SystemClock(Clock):
    """The machine's clock."""

    def now(self) -> datetime:
        """This instant, in UTC, with microseconds."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds since some instant of the past; never goes back, also when the clock is set."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return when so much time has passed."""
        await asyncio.sleep(seconds)


class SystemIdentities(Identities):
    """Random identifiers."""

    def new_attempt_id(self) -> AttemptId:
        """32 lower-case hex digits, of which 122 bits are random: no coordination is needed."""
        return AttemptId(uuid.uuid4().hex)
