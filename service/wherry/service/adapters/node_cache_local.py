"""The node's own copy of blobs, in a folder: the NodeCache port.

    files/md5/ab/cdef…        one file a blob, mode 0444, as a DVC 3 cache lays them out
    executable/md5/ab/cdef…   the same content with mode 0555: hard links share their mode, so it is another file
    trees/                    see node_trees_local
    incoming/                 what is being fetched; emptied at start

Workspaces hard-link the files, so none is ever changed in place. See node_space for what goes when.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from wherry.service.adapters.file_copy import copy_file
from wherry.service.adapters.node_packs_local import PackedFiles
from wherry.service.adapters.node_space import NodeSpace, note_use
from wherry.service.adapters.node_trees_local import PreparedTrees, trees_folder
from wherry.service.adapters.shared_work import SharedWork
from wherry.service.adapters.thread_call import call_in_thread
from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, hash_content, object_key, parse_blob_hash
from wherry.service.domain.errors import DISK_FULL, TooMany, blob_damaged, blob_missing
from wherry.service.domain.limits import PACKED_BYTES_MAX
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.packs import PackReader
from wherry.service.ports.workspaces import NodeCache, NodeLease

_T = TypeVar("_T")

_READ_ONLY = 0o444
_READ_AND_RUN = 0o555
_EMPTY = hash_content(b"")

# Of the disk, what is left free for everything else.
_FREE_SHARE = 0.02
_FREE_BYTES_MAX = 2 * 10**9


class LocalNodeCache(NodeCache):
    """Blobs in a folder of this machine, read through from the store."""

    def __init__(
        self,
        root: Path,
        *,
        store: ObjectStore,
        bytes_max: int | None = None,
        threads: int = 8,
        downloads_max: int = 16,
        fetched: Callable[[BlobHash, Path], None] = lambda _blob, _path: None,
        absent: Callable[[BlobHash], None] = lambda _blob: None,
        packs: PackReader | None = None,
    ) -> None:
        """Use `root`, making it if need be, for at most `bytes_max`, by default half of the disk.

        Only one service may use it at a time. `fetched` is told what has come from the store, whole and checked, and `absent` what the
        store did not have; they must return at once. Before an object of its own a blob is looked for in `packs`.
        """
        self._fetched = fetched
        self._absent = absent
        self._root = root
        self._store = store
        self._downloads = asyncio.Semaphore(downloads_max)
        self._fetching = SharedWork[Path, Path]()
        self._pool = ThreadPoolExecutor(threads, "node-cache")
        self._incoming = root / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(mode=0o700, parents=True)
        root.chmod(0o700)
        disk = shutil.disk_usage(root).total
        self._space = NodeSpace(
            root,
            blobs=("files", "executable"),
            trees=trees_folder(),
            bytes_max=disk // 2 if bytes_max is None else bytes_max,
            free_min=min(int(disk * _FREE_SHARE), _FREE_BYTES_MAX),
        )
        self._packs = (
            None
            if packs is None
            else PackedFiles(
                packs, keep=self._keep_packed, holds=lambda blob: _is_whole(self._path_of(blob), blob)
            )
        )
        self._trees = PreparedTrees(root, blobs=self, space=self._space, in_thread=self._in_thread)
        self._space.start_counting(self._pool)

    @contextlib.contextmanager
    def lease(self) -> Iterator[NodeLease]:
        """Keep what is asked for through the lease until it ends."""
        held: list[str] = []
        try:
            yield _Lease(self, held)
        finally:
            self._space.release(held)

    async def make_room(self, size_bytes: int) -> None:
        """See that this much can be written to the disk.

        Raises:
            DiskFull: if it cannot, with nothing left that could go.
        """
        if self._space.is_short(size_bytes):
            await self._in_thread(lambda: self._space.require(size_bytes))

    async def read(self, digest_hash: str, *, limit_bytes: int) -> bytes:
        """The content of a blob.

        Raises:
            BlobMissing: if the store does not hold it, or holds other content under its name.
            TooMany: if it is longer than the limit.
        """
        with self.lease() as lease:
            path = await lease.path(digest_hash)
            return await self._in_thread(lambda: _read(path, limit_bytes))

    def holds(self, digest_hash: str) -> bool:
        """Whether there is a copy at this moment."""
        blob = parse_blob_hash(digest_hash)
        # As text: ten thousand are asked for in a row, and a Path of each costs more than the rest.
        return _is_whole(f"{self._root}/{object_key(blob)}", blob)

    async def path(self, digest_hash: str) -> Path:
        """A read-only file with the content; fetched from the store at most once at a time, while somebody waits.

        Raises:
            BlobMissing: if the store does not hold it, or holds other content under its name.
        """
        blob = parse_blob_hash(digest_hash)
        return await self._have(blob, self._path_of(blob))

    async def leased_path(self, digest_hash: str, held: list[str], *, executable: bool) -> Path:
        """Hold a blob, then see that it is there: in this order it cannot go in between."""
        blob = parse_blob_hash(digest_hash)
        path = self._executable_path_of(blob) if executable else self._path_of(blob)
        held.append(str(path))
        self._space.hold(held[-1])
        return await self._have(blob, path)

    async def leased_tree(self, tree_hash: str, held: list[str], *, files_min: int) -> Path | None:
        """Hold the folder of a tree, then see that it is there; None if the tree has fewer files."""
        tree = parse_blob_hash(tree_hash)
        path = self._trees.path_of(tree)
        held.append(str(path))
        self._space.hold(held[-1])
        return path if await self._trees.ensure(tree, files_min=files_min) else None

    async def adopt(self, digest_hash: str, source: Path) -> None:
        """Keep a regular file whose content is known to have this hash, without copying if possible.

        The file then belongs to the service and is read-only, under its old name as well.
        """
        blob = parse_blob_hash(digest_hash)
        path = self._path_of(blob)
        if not _is_whole(path, blob):
            if self._space.is_short():
                await self._in_thread(self._space.make_room)
            await self._in_thread(lambda: self._adopt(source, path))

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _path_of(self, blob: BlobHash) -> Path:
        return self._root / object_key(blob)

    def _executable_path_of(self, blob: BlobHash) -> Path:
        return self._root / "executable" / object_key(blob).removeprefix("files/")

    async def _have(self, blob: BlobHash, path: Path) -> Path:
        # A stat of a local file is cheaper than a thread's turn, and ten thousand are asked for in a row.
        if _is_whole(path, blob):
            return path
        make = self._fetch if path == self._path_of(blob) else self._copy_executable
        return await self._fetching(path, lambda: make(blob, path))

    async def _fetch(self, blob: BlobHash, path: Path) -> Path:
        async with self._downloads:
            if _is_whole(path, blob):
                return path  # it has come with others of its pack
            if self._space.is_short():
                await self._in_thread(self._space.make_room)
            try:
                await self._download(blob, path)
            except OSError as exc:
                if exc.errno not in DISK_FULL:
                    raise
                await self._make_room_for(blob)
                await self._download(blob, path)
        self._fetched(blob, path)
        return path

    async def _download(self, blob: BlobHash, path: Path) -> None:
        if self._packs is not None and await self._packs.fetch(blob):
            return
        arriving = self._new_file()
        try:
            if not await self._store.get_file(object_key(blob), arriving):
                self._absent(blob)
                raise blob_missing(blob)
            await self._in_thread(lambda: self._check_and_place(blob, arriving, path))
        finally:
            arriving.unlink(missing_ok=True)

    async def _keep_packed(self, contents: Iterable[tuple[BlobHash, bytes]]) -> None:
        """Place what was read out of a pack, where it is not there already; what is damaged is left out."""

        def place() -> None:
            for blob, content in contents:
                path = self._path_of(blob)
                if not _is_whole(path, blob) and hash_content(content) == blob:
                    arriving = self._new_file()
                    try:
                        arriving.write_bytes(content)
                        self._place(arriving, path, _READ_ONLY)
                    finally:
                        arriving.unlink(missing_ok=True)

        await self._in_thread(place)

    async def _make_room_for(self, blob: BlobHash) -> None:
        """The disk is full: how much is needed is asked only now."""
        key = object_key(blob)
        sizes = [found.size_bytes for found in await self._store.list_objects(key) if found.key == key]
        # What has no object of its own stands in a pack, or is missing, which the next try says.
        await self._in_thread(lambda: self._space.require(sizes[0] if sizes else PACKED_BYTES_MAX))

    async def _copy_executable(self, blob: BlobHash, path: Path) -> Path:
        with self.lease() as lease:
            plain = await lease.path(blob)
            await self.make_room(plain.stat().st_size)
            await self._in_thread(lambda: self._place_copy(plain, path))
        return path

    def _place_copy(self, plain: Path, path: Path) -> None:
        arriving = self._new_file()
        try:
            copy_file(plain, arriving, _READ_ONLY)
            self._place(arriving, path, _READ_AND_RUN)
        finally:
            arriving.unlink(missing_ok=True)

    def _check_and_place(self, blob: BlobHash, arriving: Path, path: Path) -> None:
        with arriving.open("rb") as file:
            found = hashlib.file_digest(file, _md5).hexdigest()
        if found != blob.removesuffix(TREE_SUFFIX):
            raise blob_damaged(blob, found)
        self._place(arriving, path, _READ_ONLY)

    def _place(self, arriving: Path, path: Path, mode: int) -> None:
        arriving.chmod(mode)
        path.parent.mkdir(parents=True, exist_ok=True)
        arriving.replace(path)
        self._space.added(path.stat().st_size)

    def _adopt(self, source: Path, path: Path) -> None:
        arriving = self._new_file()
        try:
            _link_or_copy(source, arriving)
            self._place(arriving, path, _READ_ONLY)
        except OSError as exc:
            # The store has it: without room here it is fetched when somebody needs it.
            if exc.errno not in DISK_FULL:
                raise
        finally:
            arriving.unlink(missing_ok=True)

    def _new_file(self) -> Path:
        return self._incoming / uuid.uuid4().hex

    async def _in_thread(self, action: Callable[[], _T]) -> _T:
        return await call_in_thread(self._pool, action)


class _Lease(NodeLease):
    """What one user of the cache holds."""

    def __init__(self, cache: LocalNodeCache, held: list[str]) -> None:
        self._cache = cache
        self._held = held

    async def path(self, digest_hash: str, *, executable: bool = False) -> Path:
        """See the port."""
        return await self._cache.leased_path(digest_hash, self._held, executable=executable)

    async def tree_folder(self, tree_hash: str, *, files_min: int) -> Path | None:
        """See the port."""
        return await self._cache.leased_tree(tree_hash, self._held, files_min=files_min)


def _is_whole(path: Path | str, blob: BlobHash) -> bool:
    """Whether the file is there, and not one that a loss of power left empty after its rename."""
    try:
        found = os.stat(path)  # noqa: PTH116 - see LocalNodeCache.holds
    except FileNotFoundError:
        return False
    note_use(str(path), found)
    return found.st_size > 0 or blob == _EMPTY


def _read(path: Path, limit_bytes: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise TooMany(f"the blob {path.parent.name}{path.name} is longer than {limit_bytes} bytes")
    return data


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def _link_or_copy(source: Path, target: Path) -> None:
    """Give `target` the content of `source` and the service as its owner.

    The stage's user must not stay the owner: it could make the file writable again.
    """
    with contextlib.suppress(OSError):  # another file system, too many links, links not permitted: copy
        os.link(source, target, follow_symlinks=False)
        if not stat.S_ISREG(target.lstat().st_mode):
            target.unlink()
            raise ValueError(f"not a regular file: {source}")
        os.chown(target, os.geteuid(), os.getegid(), follow_symlinks=False)
        return
    target.unlink(missing_ok=True)
    copy_file(source, target, _READ_ONLY)
