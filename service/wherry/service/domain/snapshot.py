"""The project as submitted: names and hashes, no content."""

from collections.abc import Mapping
from dataclasses import dataclass

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.paths import ProjectPath


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFile:
    """One of the project's own files."""

    hash: BlobHash
    size_bytes: int
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotData:
    """Data outside the project's own files: a file or a folder, tracked or ignored."""

    digest: Digest
    """Of the file, or of the tree for a folder."""
    total_bytes: int
    """Sum of the sizes of the files."""
    nfiles: int | None = None
    """Number of files; None for a file."""
    executable: bool = False
    legacy_hash: BlobHash | None = None
    """The hash that DVC 2 gives it, as the client says; None: it was not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a submission says of the project."""

    files: Mapping[ProjectPath, SnapshotFile]
    data: Mapping[ProjectPath, SnapshotData | None]
    """What the client found at the paths it was asked about; None: nothing is there."""
