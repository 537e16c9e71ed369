"""What a check of the service, or of what it holds, came to."""

from dataclasses import dataclass
from enum import StrEnum

from wherry.service.domain.blob import BlobHash


class FindingState(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    """Wherry works, with less than it could have."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check came to."""

    name: str
    """Stable, such as "store.ranges"."""
    state: FindingState
    message: str
    hint: str = ""


class FaultKind(StrEnum):
    """What can be wrong with a blob of the store."""

    DAMAGED = "damaged"
    MISSING = "missing"
    INCOMPLETE = "incomplete"
    EXCHANGED = "exchanged"


@dataclass(frozen=True, slots=True)
class BlobFault:
    """Something wrong with a blob of the store."""

    hash: BlobHash
    kind: FaultKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckProgress:
    """Where a check of blobs stands."""

    checked: int
    total: int
    bytes_read: int
    faults: tuple[BlobFault, ...]
    """What was found since the last one."""
