"""Reading the outputs of a stage out of its workspace, as DVC would have.

DVC's rules for a folder: linked files count by their content, linked folders and empty ones not at all;
`.git`, `.hg` and `.dvc` do not count, and a folder that holds a `.dvc` folder is another repository and counts
as empty; a `.dvcignore` file in an output is an error; execute bits of members are not kept; what the project's
`.dvcignore` files hide is not there. Nothing is believed of what the stage left: see confined_folder.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wherry.service.adapters.confined_folder import ConfinedFolder, Found, Identity, LinkUnusable, Parts
from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.dvc.metric_files import METRIC_HEAD_BYTES, looks_textual
from wherry.service.domain.paths import PATH_BYTES_MAX, ROOT, ProjectPath
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.ports.workspaces import CollectedFile, CollectedOutput, OutputUnusable

# The list of a million files is about as long as a tree may be (domain limits).
_ENTRIES_MAX = 1_000_000

# What one thread hashes in a row: enough files that its turn costs little, few enough bytes that the
# other threads have their share.
_PART_FILES = 200
_PART_BYTES = 64 * 1024 * 1024

# Large reads let hashlib work without the interpreter's lock.
_READ_BYTES = 1024 * 1024

_KINDS = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that belongs to an output."""

    path: str
    """Relative to the output; empty when it is the output."""
    parts: Parts
    """Where its content is in the workspace, reached without links."""
    size_bytes: int
    """For sharing out the work; what counts is what is read."""


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file with the names of its content."""

    path: str
    source: Path
    digest: Digest
    sha256: str
    textual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOutput:
    """An output before its files are hashed."""

    project_path: ProjectPath
    files: tuple[FoundFile, ...]
    is_folder: bool
    executable: bool

    def parts(self) -> Iterator[Sequence[FoundFile]]:
        """Cut the files into pieces of work for threads."""
        part: list[FoundFile] = []
        size = 0
        for file in self.files:
            part.append(file)
            size += file.size_bytes
            if len(part) >= _PART_FILES or size >= _PART_BYTES:
                yield part
                part, size = [], 0
        if part:
            yield part

    def assemble(self, hashed: Iterable[HashedFile]) -> CollectedOutput:
        """Put the output together again from its hashed files."""
        files = sorted(hashed, key=lambda file: file.path)
        tree = Tree.of(TreeEntry(file.path, file.digest.hash) for file in files) if self.is_folder else None
        return CollectedOutput(
            project_path=self.project_path,
            files=tuple(
                CollectedFile(
                    source=file.source, digest=file.digest, sha256=file.sha256, textual=file.textual
                )
                for file in files
            ),
            tree=tree,
            total_bytes=sum(file.digest.size_bytes for file in files),
            executable=self.executable,
        )


class OutputCollection:
    """Finds and hashes outputs of one workspace. Its methods block: run them in threads."""

    def __init__(
        self, workspace: Path, workspace_at: str, mounts: Mapping[Identity, Path] | None = None
    ) -> None:
        """`workspace_at` is where the container saw the workspace, `mounts` what it saw in it of the node's.

        A mount is known by the identity of the empty folder under it: a stage can move that, with its parent.
        """
        self._workspace = workspace
        self._workspace_at = workspace_at
        self._mounts = mounts

    def _open(self) -> ConfinedFolder:
        return ConfinedFolder(self._workspace, self._workspace_at, self._mounts)

    def find(self, output: ProjectPath, ignore: IgnoreRules) -> FoundOutput:
        """Find the files of an output, in a folder those that are not ignored.

        Raises:
            OutputUnusable: if it does not exist, or is or contains something that cannot be kept.
        """
        parts = () if output == ROOT else tuple(output.split("/"))
        with _unusable(output), self._open() as folder:
            found = _resolve(folder, parts, output)
            is_folder = stat.S_ISDIR(found.mode)
            if is_folder:
                if ignore.ignores(output, is_folder=True):
                    raise OutputUnusable(f"output {output!r} is ignored by .dvcignore")
                files = list(_FolderWalk(folder, found.parts, output, ignore).files())
            else:
                _check_kind(found.mode, output)
                files = [FoundFile("", found.parts, 0)]
        executable = not is_folder and bool(found.mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH))
        return FoundOutput(
            project_path=output, files=tuple(files), is_folder=is_folder, executable=executable
        )

    def hash_files(self, output: ProjectPath, files: Sequence[FoundFile]) -> list[HashedFile]:
        """Hash files of an output, each in one pass.

        Raises:
            OutputUnusable: if one cannot be read.
        """
        buffer = memoryview(bytearray(_READ_BYTES))
        with self._open() as folder:
            return [_hash_file(folder, output, file, buffer) for file in files]


def _hash_file(
    folder: ConfinedFolder, output: ProjectPath, file: FoundFile, buffer: memoryview
) -> HashedFile:
    md5 = hashlib.md5(usedforsecurity=False)
    sha256 = hashlib.sha256()
    size = 0
    textual = True
    with _unusable(_joined(output, file.path)), folder.open_file(file.parts) as descriptor:
        source = folder.place_of(file.parts)
        while count := os.readv(descriptor, [buffer]):
            if size == 0:
                textual = looks_textual(bytes(buffer[: min(count, METRIC_HEAD_BYTES)]))
            md5.update(buffer[:count])
            sha256.update(buffer[:count])
            size += count
    return HashedFile(file.path, source, Digest(BlobHash(md5.hexdigest()), size), sha256.hexdigest(), textual)


class _FolderWalk:
    """Goes through an output folder."""

    def __init__(self, folder: ConfinedFolder, top: Parts, output: ProjectPath, ignore: IgnoreRules) -> None:
        """`top` is where the output is in the workspace."""
        self._ignore = ignore
        self._folder = folder
        self._top = top
        self._output = output
        self._entries = 0

    def files(self) -> Iterator[FoundFile]:
        """Yield the files that count."""
        pending: list[Parts] = [()]
        while pending:
            below = pending.pop()
            states = self._list(below)
            if ".dvc" in states and stat.S_ISDIR(states[".dvc"].st_mode):
                continue
            for name, state in states.items():
                is_folder = stat.S_ISDIR(state.st_mode)
                if name == ".git" or (name == ".hg" and is_folder):
                    continue
                relative = (*below, name)
                _check_name(self._output, relative)
                # Links count as what they are called, not as what they lead to: DVC asks by name as well.
                path = ProjectPath(_joined(self._output, "/".join(relative)))
                if self._ignore.ignores(path, is_folder=is_folder):
                    continue
                if is_folder:
                    pending.append(relative)
                elif file := self._file(relative, state):
                    yield file

    def _list(self, below: Parts) -> dict[str, os.stat_result]:
        states = {}
        with self._folder.list_folder((*self._top, *below)) as entries:
            for entry in entries:
                states[entry.name] = entry.stat(follow_symlinks=False)
                self._entries += 1
                if self._entries > _ENTRIES_MAX:
                    raise OutputUnusable(f"output {self._output!r} has more than {_ENTRIES_MAX} entries")
        return states

    def _file(self, relative: Parts, state: os.stat_result) -> FoundFile | None:
        """What is not a folder; None for a link to a folder."""
        path = "/".join(relative)
        shown = _joined(self._output, path)
        found = Found((*self._top, *relative), state.st_mode)
        if stat.S_ISLNK(state.st_mode):
            found = _resolve(self._folder, found.parts, shown)
            if stat.S_ISDIR(found.mode):
                return None
        _check_kind(found.mode, shown)
        if relative[-1] == ".dvcignore":
            raise OutputUnusable(f"{shown!r}: a .dvcignore file must not be inside an output")
        return FoundFile(path, found.parts, state.st_size)


def _resolve(folder: ConfinedFolder, parts: Parts, shown: str) -> Found:
    try:
        return folder.resolve(parts)
    except LinkUnusable as exc:
        raise OutputUnusable(f"{shown!r} is or goes through {exc}") from exc
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise OutputUnusable(f"output {shown!r} does not exist") from exc


def _check_kind(mode: int, shown: str) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "of an unknown kind")
        raise OutputUnusable(f"{shown!r} is {kind}: only files and folders can be kept")


def _check_name(output: ProjectPath, relative: Parts) -> None:
    shown = _joined(output, "/".join(relative))
    try:
        length = len(shown.encode())
    except UnicodeEncodeError as exc:
        raise OutputUnusable(f"{shown!r}: the name is not UTF-8") from exc
    if length > PATH_BYTES_MAX:
        raise OutputUnusable(f"output {output!r}: a path in it is longer than {PATH_BYTES_MAX} bytes")


def _joined(output: ProjectPath, path: str) -> str:
    return f"{output}/{path}" if path else output


@contextmanager
def _unusable(shown: str) -> Iterator[None]:
    """What the system refuses to read is the stage's doing."""
    try:
        yield
    except OSError as exc:
        raise OutputUnusable(f"{shown!r} cannot be read: {exc.strerror or exc}") from exc
