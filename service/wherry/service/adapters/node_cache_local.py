"""The node's own copy of blobs, in a folder: the NodeCache port.

    files/md5/ab/cdef…   one file a blob, mode 0444, as a DVC 3 cache lays them out
    incoming/            what is being fetched; emptied at start

Workspaces hard-link the files, so none is ever changed in place. Nothing is evicted yet: the folder grows
with what the stages of this node use.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from wherry.service.adapters.file_copy import copy_content
from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, hash_content, object_key, parse_blob_hash
from wherry.service.domain.errors import BlobMissing, TooMany
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.workspaces import NodeCache

_T = TypeVar("_T")

_READ_ONLY = 0o444
_EMPTY = hash_content(b"")


class LocalNodeCache(NodeCache):
    """Blobs in a folder of this machine, read through from the store."""

    def __init__(
        self,
        root: Path,
        *,
        store: ObjectStore,
        threads: int = 8,
        downloads_max: int = 16,
        fetched: Callable[[BlobHash, Path], None] = lambda _blob, _path: None,
    ) -> None:
        """Use `root`, making it if need be. Only one service may use it at a time.

        `fetched` is told what has come from the store, whole and checked, and must return at once.
        """
        self._fetched = fetched
        self._root = root
        self._store = store
        self._downloads = asyncio.Semaphore(downloads_max)
        self._fetching: dict[BlobHash, asyncio.Task[Path]] = {}
        self._pool = ThreadPoolExecutor(threads, "node-cache")
        self._incoming = root / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(mode=0o700, parents=True)
        root.chmod(0o700)

    async def read(self, digest_hash: str, *, limit_bytes: int) -> bytes:
        """The content of a blob.

        Raises:
            BlobMissing: if the store does not hold it, or holds other content under its name.
            TooMany: if it is longer than the limit.
        """
        path = await self.path(digest_hash)
        return await self._in_thread(lambda: _read(path, limit_bytes))

    async def path(self, digest_hash: str) -> Path:
        """A read-only file with the content; fetched from the store at most once at a time.

        Raises:
            BlobMissing: if the store does not hold it, or holds other content under its name.
        """
        blob = parse_blob_hash(digest_hash)
        path = self._path_of(blob)
        # A stat of a local file is cheaper than a thread's turn, and ten thousand are asked for in a row.
        if _is_whole(path, blob):
            return path
        fetch = self._fetching.get(blob)
        if fetch is None:
            fetch = asyncio.create_task(self._fetch(blob, path))
            self._fetching[blob] = fetch
            fetch.add_done_callback(lambda _: self._fetching.pop(blob, None))
        # Shielded: another workspace may wait for the same blob.
        return await asyncio.shield(fetch)

    async def adopt(self, digest_hash: str, source: Path) -> None:
        """Keep a regular file whose content is known to have this hash, without copying if possible.

        The file then belongs to the service and is read-only, under its old name as well.
        """
        blob = parse_blob_hash(digest_hash)
        path = self._path_of(blob)
        if not _is_whole(path, blob):
            await self._in_thread(lambda: self._adopt(source, path))

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _path_of(self, blob: BlobHash) -> Path:
        return self._root / object_key(blob)

    async def _fetch(self, blob: BlobHash, path: Path) -> Path:
        async with self._downloads:
            arriving = self._new_file()
            try:
                if not await self._store.get_file(object_key(blob), arriving):
                    raise BlobMissing(f"the store does not hold {blob}", hint="Submit the project again.")
                await self._in_thread(lambda: _check_and_place(blob, arriving, path))
            finally:
                arriving.unlink(missing_ok=True)
        self._fetched(blob, path)
        return path

    def _adopt(self, source: Path, path: Path) -> None:
        arriving = self._new_file()
        try:
            _link_or_copy(source, arriving)
            _place(arriving, path)
        finally:
            arriving.unlink(missing_ok=True)

    def _new_file(self) -> Path:
        return self._incoming / uuid.uuid4().hex

    async def _in_thread(self, action: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, action)


def _is_whole(path: Path, blob: BlobHash) -> bool:
    """Whether the file is there, and not one that a loss of power left empty after its rename."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    return size > 0 or blob == _EMPTY


def _read(path: Path, limit_bytes: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise TooMany(f"the blob {path.parent.name}{path.name} is longer than {limit_bytes} bytes")
    return data


def _check_and_place(blob: BlobHash, arriving: Path, path: Path) -> None:
    with arriving.open("rb") as file:
        found = hashlib.file_digest(file, _md5).hexdigest()
    if found != blob.removesuffix(TREE_SUFFIX):
        raise BlobMissing(
            f"the store is damaged: under the name {blob} it holds content with the hash {found}",
            hint="Push the file again: `dvc push` or a new submission replaces it once it is deleted there.",
        )
    _place(arriving, path)


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def _place(arriving: Path, path: Path) -> None:
    arriving.chmod(_READ_ONLY)
    path.parent.mkdir(parents=True, exist_ok=True)
    arriving.replace(path)


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
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy_content(reader, writer)
        finally:
            os.close(writer)
    finally:
        os.close(reader)
