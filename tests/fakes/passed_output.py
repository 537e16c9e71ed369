"""Output on its way from one service to others, in lists."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from tests.fakes.leases import FakeLeases
from wherry.service.domain.task import LeaseToken
from wherry.service.ports.passed_output import OutputPart, PassedOutput


class FakePassedOutput(PassedOutput):
    """Parts of the leases of `leases`."""

    def __init__(self, leases: FakeLeases) -> None:
        self._leases = leases
        self.parts: defaultdict[LeaseToken, dict[int, tuple[datetime, OutputPart]]] = defaultdict(dict)

    async def add(self, token: LeaseToken, part: OutputPart, *, now: datetime) -> None:
        self.parts[token].setdefault(part.number, (now, part))

    async def read_after(self, token: LeaseToken, number: int, *, limit: int) -> Sequence[OutputPart]:
        parts = self.parts.get(token, {})
        return [parts[at][1] for at in sorted(parts) if at > number][:limit]

    async def sweep(self, *, before: datetime) -> bool:
        alive = {lease.token for lease in self._leases.standing.values()}
        for token, parts in list(self.parts.items()):
            if token not in alive and any(written_at < before for written_at, _ in parts.values()):
                del self.parts[token]
        return False
