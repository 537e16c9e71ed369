"""The project as a stage sees it: snapshot files, and data placed over them, by path.

Knows hashes only. What trees and sizes it needs it says; loading them is the caller's.
"""

import posixpath
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.dvc.collection import is_nested, nested_projects
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath, is_within
from wherry.service.domain.records import FileEntry
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.tree import Tree, TreeEntry

# Folders that DVC never looks into.
_IGNORED = frozenset({".dvc", ".git", ".hg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedData:
    """A file or folder that stands at a path: tracked data, or what a stage produced."""

    hash: BlobHash
    total_bytes: int
    """For a folder, the sum over its files."""
    nfiles: int | None = None
    """Number of files of a folder; None for a file."""
    executable: bool = False

    @property
    def is_tree(self) -> bool:
        """Whether it is a folder."""
        return self.hash.endswith(TREE_SUFFIX)

    def as_entry(self, path: str) -> FileEntry:
        """Record it under a path as written."""
        return FileEntry(
            path=path,
            hash=self.hash,
            size_bytes=self.total_bytes,
            nfiles=self.nfiles,
            executable=self.executable,
        )


class PathOrder:
    """Paths kept in order, so that those below a folder are found by bisection. More may be added."""

    __slots__ = ("_paths",)

    def __init__(self, paths: Iterable[ProjectPath]) -> None:
        """Sort the paths once."""
        self._paths = sorted(paths)

    def add(self, path: ProjectPath) -> None:
        """Add one; it may be there already."""
        position = bisect_left(self._paths, path)
        if self._paths[position : position + 1] != [path]:
            self._paths.insert(position, path)

    def below(self, folder: ProjectPath) -> Sequence[ProjectPath]:
        """The paths strictly below a folder."""
        if folder == ROOT:
            return [path for path in self._paths if path != ROOT]
        # "0" follows "/" among the characters.
        first, end = bisect_left(self._paths, folder + "/"), bisect_left(self._paths, folder + "0")
        return self._paths[first:end]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectView:
    """Placed data wins over snapshot files at or below its path.

    Whoever looks through many views of one project gives the paths in order, which are sorted here otherwise.
    """

    files: Mapping[ProjectPath, SnapshotFile] = field(repr=False)
    placed: Mapping[ProjectPath, PlacedData]
    trees: Mapping[BlobHash, Tree] = field(default_factory=dict, repr=False)
    """Contents of trees, as far as they are loaded."""
    sizes: Mapping[BlobHash, int] = field(default_factory=dict, repr=False)
    """Sizes in bytes of members of trees, as far as they are loaded."""
    file_order: PathOrder | None = field(default=None, repr=False, compare=False)
    """The paths of `files`."""
    placed_order: PathOrder | None = field(default=None, repr=False, compare=False)
    """The paths of `placed`."""

    def trees_needed(self, path: ProjectPath) -> frozenset[BlobHash]:
        """Trees whose content must be in `trees` before `path` can be resolved."""
        if path in self.placed:
            return frozenset()
        above = self._placed_above(path)
        if above is not None:
            data = self.placed[above]
            return frozenset({data.hash} if data.is_tree else ())
        if path in self.files:
            return frozenset()
        return frozenset(
            self.placed[inner].hash for inner in self._placed_below(path) if self.placed[inner].is_tree
        )

    def sizes_needed(self, path: ProjectPath) -> frozenset[BlobHash]:
        """Blobs whose sizes must be in `sizes` before `path` can be resolved; the trees must be there already."""
        above = None if path in self.placed else self._placed_above(path)
        if above is None or not self.placed[above].is_tree:
            return frozenset()
        return frozenset(entry.hash for _, entry in self._members(above, path))

    def resolve(self, written: str, path: ProjectPath) -> FileEntry | None:
        """Say what stands at `path`, recorded under the path as written; None when nothing does.

        A folder is hashed as DVC hashes it. KeyError means that a tree or size was not loaded first, a bug.

        Raises:
            PipelineInvalid: if the folder holds a .dvcignore; DVC refuses that too.
        """
        data = self.placed.get(path)
        if data is not None:
            return data.as_entry(written)
        above = self._placed_above(path)
        if above is not None:
            return self._resolve_member(written, above, path)
        file = self.files.get(path)
        if file is not None:
            return FileEntry(
                path=written, hash=file.hash, size_bytes=file.size_bytes, executable=file.executable
            )
        return self._resolve_folder(written, path)

    def tree(self, path: ProjectPath) -> Tree | None:
        """The files of the folder that stands at `path`, if what that needs is loaded; None for anything else."""
        data = self.placed.get(path)
        if data is not None:
            return self.trees.get(data.hash)
        above = self._placed_above(path)
        if above is not None:
            return self._member_tree(above, path)
        if path in self.files:
            return None
        return Tree.of(self._folder_entries(path, self._own_files(path)))

    def _placed_above(self, path: ProjectPath) -> ProjectPath | None:
        folder = posixpath.dirname(path)
        while folder:
            if folder in self.placed:
                return ProjectPath(folder)
            folder = posixpath.dirname(folder)
        return ROOT if path != ROOT and ROOT in self.placed else None

    def _placed_below(self, folder: ProjectPath) -> Sequence[ProjectPath]:
        return (self.placed_order or PathOrder(self.placed)).below(folder)

    def _files_below(self, folder: ProjectPath) -> Sequence[ProjectPath]:
        return (self.file_order or PathOrder(self.files)).below(folder)

    def _members(self, above: ProjectPath, path: ProjectPath) -> Iterator[tuple[str, TreeEntry]]:
        """Files of the tree at `above` that are `path` (then named "") or lie below it, named relative to it."""
        inner = path if above == ROOT else path[len(above) + 1 :]
        for entry in self.trees[self.placed[above].hash].at_or_below(inner):
            yield entry.path[len(inner) + 1 :], entry

    def _resolve_member(self, written: str, above: ProjectPath, path: ProjectPath) -> FileEntry | None:
        if not self.placed[above].is_tree:
            return None
        members = list(self._members(above, path))
        if not members:
            return None
        name, entry = members[0]
        if not name:
            return FileEntry(path=written, hash=entry.hash, size_bytes=self.sizes[entry.hash])
        tree = Tree.of(TreeEntry(name, entry.hash) for name, entry in members)
        return FileEntry(
            path=written,
            hash=tree.digest().hash,
            size_bytes=sum(self.sizes[entry.hash] for _, entry in members),
            nfiles=len(members),
        )

    def _member_tree(self, above: ProjectPath, path: ProjectPath) -> Tree | None:
        if not self.placed[above].is_tree:
            return None
        members = list(self._members(above, path))
        if not members or not members[0][0]:
            return None
        return Tree.of(TreeEntry(name, entry.hash) for name, entry in members)

    def _resolve_folder(self, written: str, folder: ProjectPath) -> FileEntry | None:
        placed = self._placed_below(folder)
        own = self._own_files(folder)
        if not placed and not self._files_below(folder):
            return None
        entries = self._folder_entries(folder, own)
        _refuse_ignore_file(entries, folder)
        total_bytes = sum(self.placed[path].total_bytes for path in placed)
        total_bytes += sum(self.files[path].size_bytes for path in own)
        tree = Tree.of(entries)
        return FileEntry(path=written, hash=tree.digest().hash, size_bytes=total_bytes, nfiles=len(entries))

    def _folder_entries(self, folder: ProjectPath, own: Sequence[ProjectPath]) -> list[TreeEntry]:
        entries = [TreeEntry(_inner(path, folder), self.files[path].hash) for path in own]
        for path in self._placed_below(folder):
            entries.extend(self._expand(_inner(path, folder), self.placed[path]))
        return entries

    def _own_files(self, folder: ProjectPath) -> list[ProjectPath]:
        """The project's files in a folder that count for its hash."""
        files = self._files_below(folder)
        nested = nested_projects(files)
        return [
            path
            for path in files
            if not self._is_covered(path, folder)
            and not _is_ignored(_inner(path, folder))
            and not is_nested(path, nested)
        ]

    def _expand(self, name: str, data: PlacedData) -> Iterator[TreeEntry]:
        if not data.is_tree:
            yield TreeEntry(name, data.hash)
            return
        for entry in self.trees[data.hash].entries:
            yield TreeEntry(f"{name}/{entry.path}", entry.hash)

    def _is_covered(self, path: ProjectPath, folder: ProjectPath) -> bool:
        """Whether placed data below `folder` stands at the path or above it."""
        if path in self.placed:
            return True
        above = self._placed_above(path)
        return above is not None and is_within(above, folder)


def _inner(path: ProjectPath, folder: ProjectPath) -> str:
    return path if folder == ROOT else path[len(folder) + 1 :]


def _is_ignored(name: str) -> bool:
    return not _IGNORED.isdisjoint(name.split("/")[:-1]) or posixpath.basename(name) == ".git"


def _refuse_ignore_file(entries: Sequence[TreeEntry], folder: ProjectPath) -> None:
    for entry in entries:
        if posixpath.basename(entry.path) == ".dvcignore":
            raise PipelineInvalid(
                f"the folder {folder!r} holds a .dvcignore; DVC refuses to hash such a folder",
                hint="Move it to a folder above.",
                place=Place(path=posixpath.join(folder, entry.path)),
            )
