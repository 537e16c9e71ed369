"""Data that the service asks about: a file, or a folder as the tree that DVC would make of it."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wherry.client.dvc_cache import DvcCache
from wherry.client.errors import FileTrouble, ProtocolBroken
from wherry.client.hashing import FoundFile, Hasher, LocalFile
from wherry.client.ignore import IgnoreRules
from wherry.client.paths import check_open, check_wire_path, find_outside, is_outside
from wherry.v1.blobs_pb2 import BlobDigest
from wherry.v1.pipelines_pb2 import SnapshotData

TREE_SUFFIX = ".dir"
_MD5 = re.compile(r"[0-9a-f]{32}")

# Folders that DVC ignores everywhere.
_NEVER_DATA = frozenset({".git", ".hg", ".dvc"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTree:
    """A folder here, as DVC names it."""

    hash: str
    content: bytes
    """The JSON of the `.dir` object."""
    members: Mapping[str, LocalFile] = field(repr=False)
    """By path relative to the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalData:
    """What lies at a path: a file, a tree, or nothing."""

    path: str
    file: LocalFile | None = None
    tree: LocalTree | None = None

    def hash_as_dvc_2(self, hasher: Hasher) -> str:
        """The hash that DVC 2 gives it; empty when nothing is there.

        Raises:
            FileTrouble: if something of it cannot be read.
        """
        if self.file is not None:
            return hasher.hash_as_dvc_2([self.file])[0]
        if self.tree is None:
            return ""
        members = self.tree.members
        hashes = hasher.hash_as_dvc_2(list(members.values()))
        return tree_hash(tree_content(dict(zip(members, hashes, strict=True))))

    def to_message(self) -> SnapshotData:
        """Say it in the protocol's words."""
        if self.file is not None:
            return SnapshotData(
                path=self.path,
                digest=BlobDigest(hash=self.file.md5, size_bytes=self.file.size),
                total_bytes=self.file.size,
                executable=self.file.executable,
            )
        if self.tree is not None:
            return SnapshotData(
                path=self.path,
                digest=BlobDigest(hash=self.tree.hash, size_bytes=len(self.tree.content)),
                total_bytes=sum(member.size for member in self.tree.members.values()),
                nfiles=len(self.tree.members),
            )
        return SnapshotData(path=self.path)


def look_up(root: Path, path: str, rules: IgnoreRules, hasher: Hasher, *, levels: int = 0) -> LocalData:
    """See what lies at a path, and hash it. Links are followed, as DVC does: the user put them there.

    A path may lead up to `levels` folders above the root, those of the git working tree; there no link is followed
    that leads out of it.

    Raises:
        ProtocolBroken: if the path leads out of the project or to a private folder.
        FileTrouble: if something there cannot be read.
    """
    if is_outside(path):
        source = find_outside(root, path, levels)
        top = Path(os.path.realpath(root)).parents[levels - 1]
        if source.is_dir():
            return LocalData(path=path, tree=_read_open_tree(source, path, top, hasher))
        return LocalData(path=path, file=hasher.hash_if_there(path, source))
    source = root / check_wire_path(path)
    if source.is_dir():
        return LocalData(path=path, tree=read_tree(source, path, rules, hasher))
    return LocalData(path=path, file=hasher.hash_if_there(path, source))


def look_into_cache(cache: DvcCache, path: str, recorded: str, hasher: Hasher) -> LocalData | None:
    """Find recorded content in DVC's cache on this machine; None unless all of it is there and still is that content."""
    file = cache.find(recorded)
    if file is None:
        return None
    if not recorded.endswith(TREE_SUFFIX):
        files = _from_cache({path: recorded}, cache, hasher)
        return LocalData(path=path, file=files[path]) if files is not None else None
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise FileTrouble(f"cannot read {file}: {exc.strerror or exc}") from exc
    if tree_hash(content) != recorded:
        return None
    names = {f"{path}/{name}": (name, md5) for name, md5 in parse_tree(content).items()}
    files = _from_cache({full: md5 for full, (_, md5) in names.items()}, cache, hasher)
    if files is None:
        return None
    members = {names[full][0]: file for full, file in files.items()}
    return LocalData(path=path, tree=LocalTree(hash=recorded, content=content, members=members))


def _from_cache(wanted: Mapping[str, str], cache: DvcCache, hasher: Hasher) -> dict[str, LocalFile] | None:
    """Files of the cache under the names that they have in the workspace."""
    found = cache.found(set(wanted.values()))
    if found.keys() != set(wanted.values()):
        return None
    hashed = {file.path: file for file in hasher.hash_files(list(found.values()))}
    right = {md5: hashed[file.path] for md5, file in found.items() if hashed[file.path].md5 == md5}
    if right.keys() != found.keys():
        return None
    return {path: replace(right[md5], path=path, executable=False) for path, md5 in wanted.items()}


def read_tree(source: Path, path: str, rules: IgnoreRules, hasher: Hasher) -> LocalTree:
    """Hash a folder. Linked folders inside it are not followed; links to files are.

    Raises:
        FileTrouble: if something there cannot be read.
    """
    return _tree_of(_walk(source, path, rules), path, hasher)


def _read_open_tree(source: Path, path: str, top: Path, hasher: Hasher) -> LocalTree:
    """Hash a folder outside the DVC root, where DVC ignores nothing."""
    return _tree_of(_walk_open(source, path, top), path, hasher)


def _tree_of(found: Iterator[FoundFile], path: str, hasher: Hasher) -> LocalTree:
    files = {file.path[len(path) + 1 :]: file for file in hasher.hash_files(list(found))}
    content = tree_content({name: file.md5 for name, file in files.items()})
    return LocalTree(hash=tree_hash(content), content=content, members=files)


def parse_tree(content: bytes) -> dict[str, str]:
    """Read a `.dir` object: MD5 by relative path. Paths are checked again where they are written.

    Raises:
        ProtocolBroken: if it is not one.
    """
    try:
        members = {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(content)}
    except (ValueError, TypeError, KeyError) as exc:
        raise ProtocolBroken("what came as a folder's list of files is none") from exc
    for name, md5 in members.items():
        if not _MD5.fullmatch(md5):
            raise ProtocolBroken(f"a folder's list of files has no hash for {name[:80]!r}")
    return members


def tree_content(members: Mapping[str, str]) -> bytes:
    """Write a `.dir` object from MD5s by relative path, byte for byte as DVC: sorted, ASCII, default separators."""
    entries = [{"md5": members[name], "relpath": name} for name in sorted(members)]
    return json.dumps(entries, sort_keys=True).encode("ascii")


def tree_hash(content: bytes) -> str:
    """Name a tree."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest() + TREE_SUFFIX


def _walk(source: Path, path: str, rules: IgnoreRules) -> Iterator[FoundFile]:
    for entry in _list(source, path):
        below = f"{path}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _NEVER_DATA and not _is_project(entry) and not rules.ignores_folder(below):
                yield from _walk(Path(entry.path), below, rules)
        elif not rules.ignores_file(below) and entry.is_file():
            yield _found(entry, below)


def _list(source: Path, path: str) -> list["os.DirEntry[str]"]:
    try:
        return list(os.scandir(source))
    except OSError as exc:
        raise FileTrouble(f"cannot list {path}: {exc.strerror or exc}") from exc


def _is_project(entry: "os.DirEntry[str]") -> bool:
    """Whether a folder is a DVC project of its own, which DVC leaves out whole; a file called .dvc makes it one too."""
    return Path(entry.path, ".dvc").exists()


def _walk_open(source: Path, path: str, top: Path) -> Iterator[FoundFile]:
    for entry in _list(source, path):
        below = f"{path}/{entry.name}"
        if entry.name.casefold() in {".git", ".dvc"}:
            # DVC would hash it; left out, the folder would seem to be another one.
            raise FileTrouble(
                f"{path} holds {entry.name}, which stays on this machine",
                hint="let the stage depend on the files that it reads",
                where=below,
            )
        if entry.is_dir(follow_symlinks=False):
            yield from _walk_open(Path(entry.path), below, top)
        elif entry.is_file():
            check_open(Path(os.path.realpath(entry.path)), top, below)
            yield _found(entry, below)


def _found(entry: "os.DirEntry[str]", path: str) -> FoundFile:
    try:
        path.encode()
        return FoundFile(path=path, source=Path(entry.path), status=entry.stat())
    except (OSError, UnicodeEncodeError) as exc:
        raise FileTrouble(f"cannot take {path!r} as data: {exc}") from exc
