"""Leases on strict keys: what is being computed, and by whom."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from wherry.service.domain.lease import Lease
from wherry.service.domain.task import Failed, LeaseToken, StrictKey


class Leases(Protocol):
    """One lease for each key at most. Shared by all services of one database.

    The token of a lease is its fence: `RunCache.publish` keeps a result only while the token stands here.
    """

    async def acquire(self, wanted: Lease, *, now: datetime) -> Lease:
        """Take the lease unless somebody else holds it; returns the one that stands: `wanted`, or the other's."""
        ...

    async def find(self, key: StrictKey) -> Lease | None:
        """The lease of a key, whether it has expired or not."""
        ...

    async def renew(self, held: Sequence[Lease], *, expires_at: datetime) -> Mapping[LeaseToken, Lease]:
        """Say that their holder lives; returns those as they stand that the holder still has."""
        ...

    async def watch(self, key: StrictKey, token: LeaseToken) -> bool:
        """Say that another service waits; False when it comes too late: the lease is over."""
        ...

    async def end(
        self,
        key: StrictKey,
        token: LeaseToken,
        *,
        failure: Failed | None = None,
        files: str = "",
        watched: bool = True,
    ) -> bool:
        """Give the lease up; a failure stays to be read, until somebody takes the lease or it is swept away.

        False when nothing was done, because the lease is no longer held, or is watched and the caller does not know.
        """
        ...

    async def sweep(self, *, before: datetime) -> bool:
        """Remove leases, and failures, that expired before an instant, up to a bound; say whether there may be more."""
        ...
