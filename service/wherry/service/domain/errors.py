"""The one tree of deliberate errors.

    WherryError
    ├── InvalidInput     the caller must change the request
    │   └── PipelineInvalid   … a file of the project, with its place
    ├── NotFound         what was named does not exist
    ├── Precondition     something in the world must change first
    └── Unavailable      try again later

The family says who must act; `reason` is stable and what clients match on; `hint` says what to do
next. A stage whose command fails is no error of ours: it is an Outcome.
"""

import errno
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the project something is wrong. Lines and columns count from 1; 0 is unknown."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Format as editors expect: path:line:column, as far as known."""
        parts = [self.path]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


class WherryError(Exception):
    """An error that Wherry means to report, as opposed to a bug."""

    reason: ClassVar[str]

    def __init__(self, message: str, *, hint: str = "", place: Place | None = None) -> None:
        """Say what happened, what to do next, and where."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place

    def sentence(self) -> str:
        """Say what happened and where, for whoever has one line for it."""
        return self.message if self.place is None else f"{self.message} ({self.place})"


class InvalidInput(WherryError):
    """The request is wrong; sending it again will not help."""

    reason = "INVALID_INPUT"


class PipelineInvalid(InvalidInput):
    """A file of the project (dvc.yaml, params, dvc.lock, *.dvc, settings) is wrong."""

    reason = "PIPELINE_INVALID"


class PathEscapes(InvalidInput):
    """A path is absolute, not normalised, or leads out of the project."""

    reason = "PATH_ESCAPES"


class DigestMalformed(InvalidInput):
    """A hash is not 32 lower-case hex digits, optionally followed by .dir."""

    reason = "DIGEST_MALFORMED"


class TooMany(InvalidInput):
    """A request exceeds a limit; the message names it."""

    reason = "TOO_MANY"


class BlobMismatch(InvalidInput):
    """Content does not have the hash or size announced for it."""

    reason = "BLOB_MISMATCH"


class NotFound(WherryError):
    """What was named does not exist."""

    reason = "NOT_FOUND"


class RunUnknown(NotFound):
    """No run has this id or name."""

    reason = "RUN_UNKNOWN"


class LogGone(NotFound):
    """The output of a result is not kept any more."""

    reason = "LOG_GONE"


class StageUnknown(NotFound):
    """A target names no stage."""

    reason = "STAGE_UNKNOWN"


class ResultUnknown(NotFound):
    """No result has this key."""

    reason = "RESULT_UNKNOWN"


class BlobMissing(NotFound):
    """The store does not hold a blob."""

    reason = "BLOB_MISSING"


class SecretUnknown(NotFound):
    """No secret of the project has this name."""

    reason = "SECRET_UNKNOWN"


class TokenUnknown(NotFound):
    """No token has this name."""

    reason = "TOKEN_UNKNOWN"


class Precondition(WherryError):
    """Something in the world must change before the request can succeed."""

    reason = "PRECONDITION"


class TreeIncomplete(Precondition):
    """A tree lists members that the store does not hold."""

    reason = "TREE_INCOMPLETE"


class HashCollision(Precondition):
    """Other content is already held under this MD5."""

    reason = "HASH_COLLISION"


class DataMissing(Precondition):
    """An input is neither in the project nor in the store."""

    reason = "DATA_MISSING"


class DataChanged(Precondition):
    """Tracked data is not what its .dvc file says."""

    reason = "DATA_CHANGED"


class SecretMissing(Precondition):
    """A stage wants a secret that nobody has set."""

    reason = "SECRET_MISSING"


class SecretUnreadable(Precondition):
    """A secret was encrypted with another key."""

    reason = "SECRET_UNREADABLE"


class SubmissionGone(Precondition):
    """What a run was submitted with is not known any more."""

    reason = "SUBMISSION_GONE"


class ImageNotFound(Precondition):
    """A container image cannot be had."""

    reason = "IMAGE_NOT_FOUND"


class SnapshotUnknown(Precondition):
    """The project of a run was not kept."""

    reason = "SNAPSHOT_UNKNOWN"


class ImageNotMade(Precondition):
    """An image could not be made of what the project says. The stage's fault: nothing of ours gave way."""

    reason = "IMAGE_NOT_MADE"


class LeaseLost(Precondition):
    """Somebody else has taken over what was being computed; its result may no longer be kept."""

    reason = "LEASE_LOST"


class NotAllowed(WherryError):
    """The caller has not shown that it may do this."""

    reason = "NOT_ALLOWED"


class Unavailable(WherryError):
    """A part that Wherry stands on does not answer; later it may."""

    reason = "UNAVAILABLE"


class EngineUnavailable(Unavailable):
    """The Docker engine does not answer."""

    reason = "ENGINE_UNAVAILABLE"


class StoreUnavailable(Unavailable):
    """The object store does not answer."""

    reason = "STORE_UNAVAILABLE"


class DiskFull(Unavailable):
    """A disk of the service takes no more."""

    reason = "DISK_FULL"


DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What systems answer when a disk takes no more."""


def disk_full(error: OSError) -> DiskFull:
    """Say in our words that a disk took no more, wherever it was noticed."""
    where = f", at {error.filename}" if error.filename else ""
    return DiskFull(
        f"the service's disk is full{where}",
        hint="Make room on the disk of WHERRY_HOME; `wherry doctor` says how much is free.",
    )


def blob_missing(blob: str) -> BlobMissing:
    """Say in our words that the store does not hold what it should, wherever it was noticed."""
    return BlobMissing(
        f"the store does not hold {blob}",
        hint="`wherry repro` has its stage make it again, or asks for data that no stage makes.",
    )


def blob_damaged(blob: str, found: str) -> BlobMissing:
    """Say that the store has something else under a blob's name."""
    return BlobMissing(
        f"the store is damaged: under the name {blob} it holds content with the hash {found}",
        hint="`wherry cache fsck` takes it out, so that what made it runs again.",
    )


def hash_collision(blob: str, held: str | None, other: str) -> HashCollision:
    """Say that a known MD5 came with another content."""
    return HashCollision(
        f"{blob} is held with another content: SHA-256 {held}, not {other}",
        hint="Two different contents with one MD5 are made on purpose. Change one of the files.",
    )
