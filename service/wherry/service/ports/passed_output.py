"""Output of an execution, passed on to the services that wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wherry.service.domain.task import AttemptId, LeaseToken
from wherry.service.ports.logs import LogStream


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPart:
    """Some lines of one attempt, in order."""

    number: int
    """From 1, without gap within a lease."""
    attempt: AttemptId | None
    """None: written before the first attempt began."""
    lines: Sequence[tuple[LogStream, bytes]]


class PassedOutput(Protocol):
    """What holders of leases pass on, by the token of the lease. Every method may raise Unavailable."""

    async def add(self, token: LeaseToken, part: OutputPart, *, now: datetime) -> None:
        """Pass a part on; one that is there already stays as it is."""
        ...

    async def read_after(self, token: LeaseToken, number: int, *, limit: int) -> Sequence[OutputPart]:
        """The parts after a number, in order, so many at most."""
        ...

    async def sweep(self, *, before: datetime) -> bool:
        """Remove what was passed on before an instant under leases that are over, up to a bound.

        Says whether there may be more.
        """
        ...
