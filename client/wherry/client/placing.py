"""Puts content into the workspace: never half-written, never outside the project, nothing fetched twice."""

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.client.connection import Connection
from wherry.client.data import TREE_SUFFIX, parse_tree
from wherry.client.direct import DIRECT_BYTES_MIN, DirectWay
from wherry.client.downloading import MemorySink, download
from wherry.client.dvc_cache import DvcCache, read_cache_settings
from wherry.client.errors import ProtocolBroken
from wherry.client.fetching import fetch_large
from wherry.client.hashing import Hasher
from wherry.client.paths import check_wire_path, place_inside
from wherry.client.progress import Progress
from wherry.client.sinks import CacheSink, FileSink
from wherry.client.unwritable import cannot_write
from wherry.v1.blobs_pb2 import BlobDigest

_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file or folder as it is to be. A folder becomes exactly this, unless only parts are wanted."""

    path: str
    hash: str
    size_bytes: int = 0
    executable: bool = False
    only: tuple[str, ...] = ()
    """Of a folder, only these paths below it (relative to it); nothing else is touched."""
    cached: bool = False
    """Whether DVC keeps it in its cache: then it comes by way of it."""
    total_bytes: int = 0
    """Of a folder, the sum of its files, as far as known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What was done."""

    written: tuple[str, ...]
    """Files written, relative to the DVC root."""
    kept: int
    """Files that were right already."""
    removed: tuple[str, ...]
    """Files that a folder no longer has."""
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    path: str
    hash: str
    size_bytes: int
    executable: bool | None
    cached: bool
    out: str
    """The wanted path that it belongs to: below it, what stands in the way is removed."""


class Placer:
    """Brings wanted content into one project."""

    def __init__(
        self, root: Path, connection: Connection, hasher: Hasher, progress: Progress, *, levels: int = 0
    ) -> None:
        """Take the DVC root, the service, and what is known of local files.

        `levels` folders above the root are in the git working tree, and outputs may lie there.
        """
        self._root = root
        self._levels = levels
        self._connection = connection
        self._hasher = hasher
        self._progress = progress
        self._cache = DvcCache(read_cache_settings(root), hasher)
        self._direct = DirectWay(connection, progress)
        self._lock = threading.Lock()
        self._received = 0
        self._trees: dict[str, bytes] = {}
        # By folder and output: thousands of files share a few.
        self._through_link: dict[tuple[str, str], bool] = {}
        self._folders: dict[tuple[str, str], Path] = {}

    def place(self, wanted: Sequence[Wanted]) -> Placed:
        """Make the workspace hold all of it.

        Raises:
            ProtocolBroken: if a path leads out of the project, or content is not what its name says.
            FileTrouble: if a file cannot be written.
            ClientError: as the download says.
        """
        for item in wanted:
            place_inside(self._root, item.path, self._levels)
            if not _MD5.fullmatch(item.hash.removesuffix(TREE_SUFFIX)):
                raise ProtocolBroken(f"not the hash of a blob: {item.hash[:40]!r}")
        self._through_link.clear()
        self._folders.clear()
        trees = self._fetch_trees(wanted)
        leaves = list(_leaves(wanted, trees))
        try:
            todo = [leaf for leaf in leaves if not self._is_right(leaf)]
            self._fetch(todo)
            self._complete_cache(wanted, leaves)
            removed = [gone for item in wanted for gone in self._tidy(item, trees)]
        except OSError as exc:
            raise cannot_write(exc.filename or "a file", exc) from exc
        return Placed(
            written=tuple(leaf.path for leaf in todo),
            kept=len(leaves) - len(todo),
            removed=tuple(removed),
            size_bytes=self._received,
        )

    def _fetch_trees(self, wanted: Iterable[Wanted]) -> dict[str, dict[str, str]]:
        contents: dict[str, bytes] = {}

        def sink(blob: str) -> MemorySink:
            return MemorySink(lambda content: contents.__setitem__(blob, content))

        blobs = {item.hash for item in wanted if item.hash.endswith(TREE_SUFFIX)}
        for blob in self._cache.intact(blobs):
            contents[blob] = self._cache.read(blob)
        digests = [BlobDigest(hash=blob) for blob in sorted(blobs - contents.keys())]
        download(self._connection, digests, sink, lambda _: None)
        self._trees = contents
        return {blob: parse_tree(content) for blob, content in contents.items()}

    def _complete_cache(self, wanted: Iterable[Wanted], leaves: Iterable[_Leaf]) -> None:
        """Put into DVC's cache what was right in the workspace already; a tree after its members."""
        right = {leaf.hash: leaf for leaf in leaves if leaf.cached}
        for blob in right.keys() - self._cache.intact(right):
            self._cache.keep_copy(blob, self._root / right[blob].path)
        trees = {item.hash for item in wanted if item.cached and item.hash.endswith(TREE_SUFFIX)}
        for blob in trees - self._cache.intact(trees):
            self._cache.keep_content(blob, self._trees[blob])

    def _is_right(self, leaf: _Leaf) -> bool:
        # A file below a link inside an output is not of the output: the link is to be replaced.
        folder = leaf.path.rpartition("/")[0]
        through_link = self._through_link.get((folder, leaf.out))
        if through_link is None:
            through_link = _link_below(self._root, leaf) is not None
            self._through_link[folder, leaf.out] = through_link
        if through_link:
            return False
        name = f"{self._root}/{leaf.path}"
        if not os.path.exists(name):  # noqa: PTH110 - as text: in a new clone none of a hundred thousand is there
            return False
        target = Path(name)
        local = self._hasher.hash_if_there(leaf.path, target)
        if local is None or local.md5 != leaf.hash:
            return False
        if leaf.executable and not local.executable:
            mode = target.stat().st_mode
            target.chmod(mode | ((mode & 0o444) >> 2))
        return True

    def _fetch(self, leaves: Sequence[_Leaf]) -> None:
        if not leaves:
            return
        by_hash: dict[str, list[_Leaf]] = {}
        for leaf in leaves:
            self._make_way(leaf)
            by_hash.setdefault(leaf.hash, []).append(leaf)
        local = self._cache.intact(blob for blob, group in by_hash.items() if group[0].cached)
        for blob in local:
            self._check_out(blob, by_hash[blob])
        lacking = [
            BlobDigest(hash=blob, size_bytes=group[0].size_bytes)
            for blob, group in by_hash.items()
            if blob not in local
        ]
        if not lacking:
            return
        sizes = [digest.size_bytes for digest in lacking]
        self._progress.begin("Downloading", len(lacking), sum(sizes) if all(sizes) else None)
        try:
            large = [digest for digest in lacking if digest.size_bytes >= DIRECT_BYTES_MIN]
            done = self._fetch_large(large, by_hash)
            rest = [digest for digest in lacking if digest.hash not in done]
            download(self._connection, rest, lambda blob: self._sink(blob, by_hash[blob]), self._advanced)
        finally:
            self._progress.end()

    def _make_way(self, leaf: _Leaf) -> None:
        """Make the folder for a file; what stands in the way is removed. Folders are looked at once."""
        folder, _, name = leaf.path.rpartition("/")
        if (folder, leaf.out) not in self._folders:
            _clear_way(self._root, leaf, self._levels)
            self._folders[folder, leaf.out] = place_inside(self._root, leaf.path, self._levels).parent
        check_wire_path(leaf.path, self._levels)
        target = f"{self._folders[folder, leaf.out]}/{name}"
        if os.path.isdir(target) and not os.path.islink(target):  # noqa: PTH112, PTH114 - as text, as above
            shutil.rmtree(target)

    def _fetch_large(self, digests: Sequence[BlobDigest], by_hash: Mapping[str, Sequence[_Leaf]]) -> set[str]:
        """Bring large files from the bucket itself; returns those that came."""
        incoming = self._root / ".dvc" / "tmp" / "wherry" / "incoming"
        came: set[str] = set()
        cached = {
            digest.hash: bool(group[0].executable)
            for digest in digests
            if (group := by_hash[digest.hash])[0].cached
        }
        copies = cached if cached and self._cache.will_copy(incoming) else {}
        coming = fetch_large(self._direct, digests, incoming, self._advanced, copies=copies)
        for blob, file, copy in coming:
            sink = self._sink(blob, by_hash[blob])
            try:
                sink.take(file, copy)
            except BaseException:
                sink.abort()
                raise
            finally:
                file.unlink(missing_ok=True)
                if copy is not None:
                    copy.unlink(missing_ok=True)
            came.add(blob)
        return came

    def _sink(self, blob: str, leaves: Sequence[_Leaf]) -> FileSink | CacheSink:
        if leaves[0].cached:
            return CacheSink(self._cache, blob, lambda content: self._check_out(blob, leaves, content))
        return FileSink(
            [(place_inside(self._root, leaf.path, self._levels), bool(leaf.executable)) for leaf in leaves]
        )

    def _check_out(self, blob: str, leaves: Iterable[_Leaf], content: bytes | Path | None = None) -> None:
        """Put what the cache holds where it is wanted; with the content, or with a copy for the first place."""
        for leaf in leaves:
            folder, _, name = leaf.path.rpartition("/")
            target = f"{self._folders[folder, leaf.out]}/{name}"
            if isinstance(content, Path):
                self._cache.check_out_copy(content, Path(target))
                content = None
            elif content is None:
                self._cache.check_out(blob, Path(target), executable=bool(leaf.executable))
            else:
                self._cache.check_out_content(blob, content, target, executable=bool(leaf.executable))

    def _advanced(self, size_bytes: int) -> None:
        with self._lock:
            self._received += size_bytes
        self._progress.advance(size_bytes)

    def _tidy(self, item: Wanted, trees: dict[str, dict[str, str]]) -> list[str]:
        """Make a folder hold nothing else, as DVC does on checkout."""
        if not item.hash.endswith(TREE_SUFFIX) or item.only:
            return []
        folder = place_inside(self._root, item.path, self._levels)
        if folder.is_symlink() and not trees[item.hash]:
            folder.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        members = trees[item.hash]
        removed = []
        for where, folders, files in os.walk(folder, topdown=False):
            above = os.path.relpath(where, folder)
            for name in files + [entry for entry in folders if (Path(where) / entry).is_symlink()]:
                relative = name if above == "." else f"{above}/{name}"
                if relative not in members:
                    (Path(where) / name).unlink()
                    removed.append(f"{item.path}/{relative}")
            for name in folders:
                with contextlib.suppress(OSError):  # not empty: it belongs to the tree
                    (Path(where) / name).rmdir()
        return removed


def _leaves(wanted: Iterable[Wanted], trees: dict[str, dict[str, str]]) -> Iterable[_Leaf]:
    for item in wanted:
        if not item.hash.endswith(TREE_SUFFIX):
            yield _Leaf(
                cached=item.cached,
                path=item.path,
                hash=item.hash,
                size_bytes=item.size_bytes,
                executable=item.executable,
                out=item.path,
            )
            continue
        # What each file is likely to have: nobody has said.
        guess = item.total_bytes // len(trees[item.hash]) if trees[item.hash] else 0
        for name, md5 in trees[item.hash].items():
            if not item.only or any(name == part or name.startswith(part + "/") for part in item.only):
                yield _Leaf(
                    path=f"{item.path}/{name}",
                    hash=md5,
                    size_bytes=guess,
                    executable=None,
                    cached=item.cached,
                    out=item.path,
                )


def _link_below(root: Path, leaf: _Leaf) -> Path | None:
    """Find a link between an output (it included, when a folder) and a file of it."""
    path = root / leaf.path
    stop = root / leaf.out
    for ancestor in path.parents:
        if ancestor == stop.parent or leaf.path == leaf.out:
            return None
        # The output itself may be a link of the user's, to a larger disk: its content is compared, and
        # replaced only when it is not right.
        if ancestor != stop and ancestor.is_symlink():
            return ancestor
    return None


def _clear_way(root: Path, leaf: _Leaf, levels: int) -> None:
    """Make the folder for a file; inside its output, what stands in the way is removed."""
    place_inside(root, leaf.out, levels)
    if leaf.path != leaf.out:
        parts = leaf.path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            within = "/".join(parts[:end])
            place = root / within
            if (within == leaf.out or within.startswith(leaf.out + "/")) and (
                place.is_symlink() or (place.exists() and not place.is_dir())
            ):
                place.unlink()
    target = place_inside(root, leaf.path, levels)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
