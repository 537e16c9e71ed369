"""A lease on a strict key: who computes its result, so that nobody else does at the same time."""

from dataclasses import dataclass
from datetime import datetime

from wherry.service.domain.task import Failed, LeaseToken, RunId, StrictKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One key, taken by one service for one execution."""

    key: StrictKey
    token: LeaseToken
    owner: str
    """Which service took it. Two that live at the same time have different names; one keeps its name when restarted."""
    run_id: RunId
    """The run that submitted the stage first."""
    user: str
    stage: str
    expires_at: datetime
    """When it may be taken by others, unless it is renewed before."""
    failure: Failed | None = None
    """How the execution failed; the lease is free then, and the row tells those who waited for it."""
    files: str = ""
    """With a failure: a fingerprint of the project's files that the execution saw."""
    watched: bool = False
    """Whether another service waits for the execution: it is to be told what that writes."""

    def is_free_for(self, owner: str, now: datetime) -> bool:
        """Whether a service may take it over. Its own is left from an earlier life."""
        return self.failure is not None or self.owner == owner or self.expires_at <= now
