"""The project as submitted: names and hashes, no content."""

from collections.abc import Mapping
from dataclasses import dataclass

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings, is_inside_root


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
    around: Surroundings = NOWHERE
    """Where the project lies. Of what is outside the DVC root the client is asked, as of data."""
    ignored_elsewhere: bool = False
    """Whether files may be left out for a reason that no file of the project tells."""

    def file_at(self, path: ProjectPath) -> SnapshotFile | None:
        """A file of the project, or another one that the client has seen: outside the DVC root, or hidden."""
        data = None if path in self.files else self.data.get(path)
        if data is None or data.nfiles is not None:
            return self.files.get(path)
        return SnapshotFile(
            hash=data.digest.hash, size_bytes=data.digest.size_bytes, executable=data.executable
        )

    def is_unseen(self, path: ProjectPath) -> bool:
        """Whether it lies outside the DVC root, in reach, and the client has not looked there yet."""
        return not is_inside_root(path) and path not in self.data and self.around.reach(path)
