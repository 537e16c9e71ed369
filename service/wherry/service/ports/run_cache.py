"""Results of stages, shared by all users."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wherry.service.domain.explanation import Circumstances, Family
from wherry.service.domain.reads import Reads
from wherry.service.domain.records import StageEntry
from wherry.service.domain.task import LeaseToken, LogName, RunId, StrictKey
from wherry.service.domain.usage import NOTHING_COUNTED, Usage

RESULTS_PER_KEY_MAX = 16
"""So many states of undeclared files are told apart for one key."""


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
    family: Family | None = None
    """Shared by results of the same stage; None for results that were kept before families were."""
    circumstances: Circumstances | None = None
    """What the key counts beside the entry; None as for family. It explains, and decides nothing."""
    undeclared: Reads | None = None
    """What the stage read without declaring it; None: nobody looked."""
    log: LogName | None = None
    """What the command wrote; None for results that were kept before output was."""
    usage: Usage = NOTHING_COUNTED
    """What it used of its machine."""


class RunCache(Protocol):
    """Results by strict key. Only the service writes them, and only successes."""

    async def find(self, key: StrictKey) -> Sequence[Result]:
        """The results of this key, newest first.

        They differ in what was read without being declared. Whether that is still so, and whether their blobs are
        held, is for the caller to check.
        """
        ...

    async def find_all(self, keys: Collection[StrictKey]) -> Mapping[StrictKey, Sequence[Result]]:
        """As `find`, of many keys; one that has no results may be left out."""
        ...

    async def publish(self, result: Result, *, fence: LeaseToken | None = None) -> None:
        """Keep a result whose blobs are all held. A second one that read the same under the key replaces the first.

        Of one key the newest RESULTS_PER_KEY_MAX are kept. With a `fence`, only while the lease on the key has that
        token: checked in the same transaction.

        Raises:
            LeaseLost: if it has not; then nothing is kept.
        """
        ...

    async def list_family(self, family: Family, *, limit: int) -> Sequence[Result]:
        """Results of the same stage, newest first, at most `limit`."""
        ...

    async def mean_durations(self, families: Collection[Family]) -> Mapping[Family, float]:
        """Seconds that the commands of these stages took on average; those without a result are left out."""
        ...
