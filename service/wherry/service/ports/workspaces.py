"""Folders in which stages run."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import AttemptId, InputData
from wherry.service.domain.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedFile:
    """A file that a stage wrote, hashed."""

    source: Path
    """Where it lies now: read it before the workspace is removed."""
    digest: Digest
    sha256: str
    textual: bool = True
    """Whether it looks like text to DVC, which takes nothing else as metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedOutput:
    """One declared output, hashed."""

    project_path: ProjectPath
    files: tuple[CollectedFile, ...]
    """The file, or all files of the folder."""
    tree: Tree | None
    """For a folder."""
    total_bytes: int
    executable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutput:
    """A declared output as a stage that failed has left it."""

    project_path: ProjectPath
    total_bytes: int
    files: int | None = None
    """For a folder: how many, at least."""


class OutputUnusable(Exception):
    """A declared output is missing or cannot be kept: the stage's fault. The text says which and why."""


class Workspaces(Protocol):
    """Makes workspaces out of blobs and reads outputs out of them."""

    async def create(self, attempt: AttemptId) -> Path:
        """Make an empty workspace that the stage's user may write to."""
        ...

    async def lay_out(
        self,
        workspace: Path,
        *,
        files: Mapping[ProjectPath, SnapshotFile],
        data: Sequence[InputData],
        folders: Iterable[ProjectPath],
    ) -> Mapping[ProjectPath, Path]:
        """Put files and inputs at their paths, and make the folders.

        Blobs come from the node's own copy, which fetches what it lacks, and stay there as long as the
        workspace. Inputs cannot be changed by the stage in a way that reaches the node's copy.

        Returns folders of the node that the stage must see, read-only, at these paths of the workspace,
        where there is an empty folder: inputs of many files.

        Raises:
            BlobMissing: if the store does not hold one.
        """
        ...

    async def find_read(
        self, workspace: Path, files: Collection[ProjectPath]
    ) -> Collection[ProjectPath] | None:
        """Say which of these files of the project the stage has read; None where that cannot be told.

        What it may have read counts as read. A file that it had written itself before it read it does not.
        """
        ...

    async def collect(
        self, workspace: Path, outputs: Sequence[ProjectPath], ignore: IgnoreRules
    ) -> tuple[CollectedOutput, ...]:
        """Hash outputs after the stage has ended, in the order given; of folders, what is not ignored.

        Links are followed only inside the workspace.

        Raises:
            OutputUnusable: if one does not exist, or is or contains something that cannot be kept.
        """
        ...

    async def list_left(self, workspace: Path, outputs: Sequence[ProjectPath]) -> Sequence[LeftOutput]:
        """Look which outputs a stage has left that failed. What cannot be read is left out."""
        ...

    async def changed_inputs(self, workspace: Path) -> Sequence[ProjectPath]:
        """Those of the inputs that are no longer as they were laid out."""
        ...

    async def measure(self, workspace: Path) -> int:
        """How many bytes it takes on the disk now, inputs that it shares with others included.

        Raises:
            Unavailable: if that cannot be found out.
        """
        ...

    async def remove(self, workspace: Path) -> None:
        """Remove a workspace whatever the stage did to it. Harmless when it is gone."""
        ...

    async def adopt(
        self,
        attempt: AttemptId,
        *,
        files: Mapping[ProjectPath, SnapshotFile],
        data: Sequence[InputData],
        folders: Iterable[ProjectPath],
    ) -> Path:
        """Take up a workspace that an earlier life of the service has laid out with these.

        Raises:
            BlobMissing: if the store does not hold an input that was mounted, and the node no longer has it.
        """
        ...

    async def list_attempts(self) -> Sequence[AttemptId]:
        """The attempts of which there are workspaces."""
        ...

    async def remove_attempt(self, attempt: AttemptId) -> None:
        """Remove the workspace of an attempt of an earlier life. Harmless when there is none."""
        ...


class NodeLease(Protocol):
    """Blobs that the node keeps while the lease lasts."""

    async def path(self, digest_hash: str, *, executable: bool = False) -> Path:
        """A read-only file with the content, which others use too; `executable`: another file, with execute bits.

        Raises:
            BlobMissing: if the store does not hold it.
            DiskFull: if there is no room for it.
        """
        ...

    async def tree_folder(self, tree_hash: str, *, files_min: int) -> Path | None:
        """A folder with all files of a tree, which others use too; made once. None: it has fewer files.

        Raises:
            BlobMissing: if the store does not hold the tree or a member.
            DiskFull: if there is no room for it.
        """
        ...


class NodeCache(Protocol):
    """The node's own copy of blobs. Read-through: what is lacking is fetched from the store, once.

    It is bounded: what was not used for longest goes when room is needed, never what is leased.
    """

    def lease(self) -> AbstractContextManager[NodeLease]:
        """Keep what is asked for through the lease until it ends."""
        ...

    async def make_room(self, size_bytes: int) -> None:
        """See that this much can be written to the disk that the node's copies are on.

        Raises:
            DiskFull: if it cannot.
        """
        ...

    async def read(self, digest_hash: str, *, limit_bytes: int) -> bytes:
        """The content of a blob.

        Raises:
            BlobMissing: if the store does not hold it.
            TooMany: if it is longer than the limit.
        """
        ...

    def holds(self, digest_hash: str) -> bool:
        """Whether the node has a copy at this moment; nothing is fetched."""
        ...

    async def path(self, digest_hash: str) -> Path:
        """A read-only file with the content, which may go at any time: to keep it, lease it.

        Raises:
            BlobMissing: if the store does not hold it.
        """
        ...

    async def adopt(self, digest_hash: str, source: Path) -> None:
        """Keep a copy of a file whose content is known to have this hash."""
        ...
