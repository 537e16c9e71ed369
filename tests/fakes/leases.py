"""Leases in a dictionary."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from wherry.service.domain.lease import Lease
from wherry.service.domain.task import Failed, LeaseToken, StrictKey
from wherry.service.ports.leases import Leases


class FakeLeases(Leases):
    """`standing` may be looked at by tests."""

    def __init__(self) -> None:
        self.standing: dict[StrictKey, Lease] = {}

    async def acquire(self, wanted: Lease, *, now: datetime) -> Lease:
        standing = self.standing.get(wanted.key)
        if standing is None or standing.is_free_for(wanted.owner, now):
            self.standing[wanted.key] = wanted
        return self.standing[wanted.key]

    async def find(self, key: StrictKey) -> Lease | None:
        return self.standing.get(key)

    async def renew(self, held: Sequence[Lease], *, expires_at: datetime) -> Mapping[LeaseToken, Lease]:
        kept = [lease.key for lease in held if self.holds(lease.key, lease.token)]
        self.standing |= {key: replace(self.standing[key], expires_at=expires_at) for key in kept}
        return {self.standing[key].token: self.standing[key] for key in kept}

    async def watch(self, key: StrictKey, token: LeaseToken) -> bool:
        held = self.holds(key, token)
        if held:
            self.standing[key] = replace(self.standing[key], watched=True)
        return held

    async def end(
        self,
        key: StrictKey,
        token: LeaseToken,
        *,
        failure: Failed | None = None,
        files: str = "",
        watched: bool = True,
    ) -> bool:
        if not self.holds(key, token) or (self.standing[key].watched and not watched):
            return False
        if failure is None:
            del self.standing[key]
        else:
            self.standing[key] = replace(self.standing[key], failure=failure, files=files)
        return True

    async def sweep(self, *, before: datetime) -> bool:
        self.standing = {key: lease for key, lease in self.standing.items() if lease.expires_at >= before}
        return False

    def holds(self, key: StrictKey, token: LeaseToken) -> bool:
        standing = self.standing.get(key)
        return standing is not None and standing.token == token and standing.failure is None
