"""Results of stages, shared by all users."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wherry.service.domain.records import StageEntry
from wherry.service.domain.task import RunId, StrictKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an attempt produced."""

    key: StrictKey
    entry: StageEntry
    run_id: RunId
    user: str
    image: str
    wall_s: float
    created_at: datetime


class RunCache(Protocol):
    """Results by strict key. Only the service writes them, and only successes."""

    async def find(self, key: StrictKey) -> Result | None:
        """The result of this key. Whether its blobs are held is for the caller to check."""
        ...

    async def publish(self, result: Result) -> None:
        """Keep a result whose blobs are all held. A second one under the key replaces the first."""
        ...
