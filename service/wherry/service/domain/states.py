"""The states of runs and stages, and which moves are allowed."""

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """Where a run or a stage is. The words are those of the command line's JSON."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in _FINAL


class Phase(StrEnum):
    """What is being done for a stage within its state."""

    FETCHING = "fetching"
    """Its inputs are brought to the machine (while it is being prepared)."""
    COLLECTING = "collecting"
    """Its command has ended; what it made is hashed (while it still counts as running)."""
    PUBLISHING = "publishing"
    """What it made goes to the store."""


_FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED, State.LOST})


class CacheUse(StrEnum):
    """What the run cache had to do with a stage."""

    HIT = "hit"
    MISS = "miss"
    BYPASS = "bypass"
    NOT_CACHEABLE = "not_cacheable"
    MERGED = "merged"


class HitSource(StrEnum):
    """Who vouches for a known result."""

    RUN = "run"
    """A run of this service, under the strict key."""
    DVC_LOCK = "dvc_lock"
    """The project's dvc.lock."""
    DVC_RUN_CACHE = "dvc_run_cache"
    """An entry in the bucket's `runs/`, which anybody may have pushed."""


def run_state_from(stages: Iterable[State]) -> State:
    """Decide how a run ended from how its stages did; the worst that is its own fault wins."""
    states = set(stages)
    for worst in (State.FAILED, State.CANCELLED, State.LOST):
        if worst in states:
            return worst
    return State.SUCCEEDED
