"""The space that the node's own copy takes, and what goes when it is too much: least recently used first.

When a blob was last used is the access time of its file, set by whoever uses it; of a prepared tree, the
modification time of its folder. So it survives a restart without a file of ours. Nothing goes that is held, nor a
file that has another name, in a workspace or in a prepared tree: removing it would free nothing.
"""

import contextlib
import heapq
import os
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from wherry.service.adapters.folder_removal import remove_folder
from wherry.service.domain.errors import DiskFull

# Uses closer together than this are one: an access costs a look at the file, seldom a write.
_SAME_USE_NS = 60 * 1_000_000_000

# Down to this share of the bound, so that a pass over all files is needed once in a while and not at each blob.
_LOW_WATER = 0.9

# Between two passes that could not free enough, because what there is, is in use.
_PASS_AGAIN_S = 30.0

_BLOCK_BYTES = 4096


class _Entry(NamedTuple):
    """A blob's file or a prepared tree; in the order in which they go."""

    used_ns: int
    path: str
    inode: int = 0
    size: int = 0
    is_tree: bool = False


class NodeSpace:
    """Keeps a folder of files within a number of bytes, and some of the disk free. For threads."""

    def __init__(
        self, root: Path, *, blobs: tuple[str, ...], trees: str, bytes_max: int, free_min: int
    ) -> None:
        """`blobs` are folders of `root` with a file for each blob, `trees` one with a folder for each tree."""
        self._root = root
        self._blobs = blobs
        self._trees = trees
        self._bytes_max = bytes_max
        self._free_min = free_min
        self._lock = threading.Lock()
        self._passing = threading.Lock()
        self._held: Counter[str] = Counter()
        self._bytes = 0
        self._not_before = 0.0
        self._counting: Future[int] | None = None

    def hold(self, path: str) -> None:
        """See that a file or tree stays, whether it is there already or not yet."""
        with self._lock:
            self._held[path] += 1

    def release(self, paths: Iterable[str]) -> None:
        """Take back one hold of each."""
        with self._lock:
            for path in paths:
                self._held[path] -= 1
                if not self._held[path]:
                    del self._held[path]

    def start_counting(self, pool: ThreadPoolExecutor) -> None:
        """Find out how much is there already. Until that is known, only the disk's own limit counts."""
        self._counting = pool.submit(lambda: sum(entry.size for entry in self._files()))

    def added(self, size_bytes: int) -> None:
        """Count a file that was put in place."""
        with self._lock:
            self._bytes += _on_disk(size_bytes)

    def is_short(self, needed: int = 0) -> bool:
        """Whether something should go before `needed` bytes more are written. Cheap."""
        if self._counting is not None and self._counting.done():
            counted, self._counting = self._counting, None
            self.added(counted.result())
        known = self._counting is None
        too_much = known and self._bytes + needed > self._bytes_max and time.monotonic() >= self._not_before
        return too_much or self._free() < needed + self._free_min

    def make_room(self, needed: int = 0) -> None:
        """Remove what was not used for longest until `needed` bytes fit, if so much can go. Takes a while."""
        with self._passing:
            if self.is_short(needed):
                self._pass(needed)

    def require(self, needed: int) -> None:
        """See that `needed` bytes can be written.

        Raises:
            DiskFull: if they cannot, with nothing left that could go.
        """
        if self._free() < needed:
            self.make_room(needed)
        if self._free() < needed:
            raise self.full(needed)

    def full(self, needed: int | None) -> DiskFull:
        """Say what is wrong and what to do."""
        wanted = "" if needed is None else f"; {_readable(needed)} are needed"
        return DiskFull(
            f"the service's disk is full: {_readable(self._free())} are free at {self._root}{wanted}",
            hint=f"Make room on that disk, or move WHERRY_HOME to a larger one. The node's own copies take "
            f"{_readable(self._bytes)}; those in use by a stage stay.",
        )

    def _pass(self, needed: int) -> None:
        counted = self._bytes
        entries = list(self._files())
        total = sum(entry.size for entry in entries)
        low = max(0, min(int(self._bytes_max * _LOW_WATER), self._bytes_max - needed))
        # Of space that others took of the disk, as much as is missing.
        missing = max(0, needed + self._free_min - self._free())
        aim = max(total - low if total + needed > self._bytes_max else 0, missing)
        freed = self._remove_oldest(entries, aim) if aim else 0
        with self._lock:
            # With what came meanwhile, though some of it may be in the total already.
            self._bytes += total - freed - counted
        self._not_before = 0.0 if freed >= aim else time.monotonic() + _PASS_AGAIN_S

    def _remove_oldest(self, entries: list[_Entry], aim: int) -> int:
        """Remove until `aim` bytes are freed; says how many were."""
        pending = [*entries, *self._prepared()]
        heapq.heapify(pending)
        linked: dict[int, _Entry] = {}
        freed = 0
        while pending and freed < aim:
            entry = heapq.heappop(pending)
            if entry.is_tree:
                # Its members may go now, in their turn.
                for member in self._remove_tree(entry.path):
                    if found := linked.pop(member, None):
                        heapq.heappush(pending, found)
            elif self._remove_file(entry.path):
                freed += entry.size
            else:
                linked[entry.inode] = entry
        return freed

    def _remove_file(self, path: str) -> bool:
        with self._lock:
            if path in self._held:
                return False
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_nlink > 1:  # noqa: PTH116 - a hundred thousand in a row
                    return False
                os.unlink(path)  # noqa: PTH108
        return True

    def _remove_tree(self, path: str) -> Iterator[int]:
        """Remove a prepared tree; yields the inodes of its files."""
        going = self._root / "incoming" / uuid.uuid4().hex
        with self._lock:
            if path in self._held:
                return
            try:
                os.rename(path, going)  # noqa: PTH104
            except FileNotFoundError:
                return
        inodes = [entry.inode() for entry in _walk(str(going)) if not entry.is_dir(follow_symlinks=False)]
        remove_folder(going)
        yield from inodes

    def _files(self) -> Iterator[_Entry]:
        for folder in self._blobs:
            for entry in _walk(str(self._root / folder)):
                with contextlib.suppress(FileNotFoundError):
                    if not entry.is_dir(follow_symlinks=False):
                        found = entry.stat(follow_symlinks=False)
                        yield _Entry(found.st_atime_ns, entry.path, found.st_ino, _on_disk(found.st_size))

    def _prepared(self) -> Iterator[_Entry]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root / self._trees) as entries:
            for entry in entries:
                used_ns = entry.stat(follow_symlinks=False).st_mtime_ns
                yield _Entry(used_ns, entry.path, is_tree=True)

    def _free(self) -> int:
        return shutil.disk_usage(self._root).free


def note_use(path: str, found: os.stat_result) -> None:
    """Remember that a blob's file is used now."""
    now = time.time_ns()
    if now - found.st_atime_ns > _SAME_USE_NS:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.utime(path, ns=(now, found.st_mtime_ns), follow_symlinks=False)


def note_tree_use(path: str) -> None:
    """Remember that a prepared tree is used now."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(path, follow_symlinks=False)


def _walk(folder: str) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder; what disappears meanwhile is left out."""
    pending = [folder]
    while pending:
        with contextlib.suppress(FileNotFoundError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                yield entry


def _on_disk(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


def _readable(size_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} bytes"
