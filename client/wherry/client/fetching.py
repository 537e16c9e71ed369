"""Large blobs from the bucket itself: in ranges at once, going on after a break, verified before they are used.

.dvc/tmp/wherry/incoming/<hash>       what has come, with holes
.dvc/tmp/wherry/incoming/<hash>.come  one byte for each range: 1 when it has come
.dvc/tmp/wherry/incoming/<hash>.copy  where two files are wanted, the second; as long as the first is hashed
"""

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wherry.client.bucket import Bucket, BucketTrouble
from wherry.client.direct import DirectWay
from wherry.client.errors import ProtocolBroken
from wherry.client.reserving import reserve
from wherry.client.unwritable import cannot_write
from wherry.v1.blobs_pb2 import BlobDigest, SignedRequest

_RANGE_BYTES = 16 * 1024 * 1024
_STREAMS = 4
# So many ranges may be on their way, or wait to be hashed, at once.
_AHEAD = 8
_ATTEMPTS = 5
_BREAK_S = 0.5
_BLOCK_BYTES = 1024 * 1024
_STALE_S = 7 * 24 * 3600


def fetch_large(
    direct: DirectWay,
    digests: Sequence[BlobDigest],
    folder: Path,
    advanced: Callable[[int], None],
    *,
    copies: Mapping[str, bool],
) -> Iterator[tuple[str, Path, Path | None]]:
    """Yield blobs with files that have their content, for the caller to take away; not those that do not come.

    `copies` are those of which a second file is wanted, and whether that is to be executable.

    Raises:
        ClientError: as Fetcher.fetch, and as the service says.
    """
    if not digests or not direct.is_open():
        return
    direct.tell(f"{len(digests)} large file{'' if len(digests) == 1 else 's'} straight from the bucket")
    _sweep(folder)
    fetcher = Fetcher(folder, direct.bucket, advanced)
    try:
        for blob, (size, request) in direct.offers(digests).items():
            try:
                yield blob, *fetcher.fetch(blob, size, request, copy_executable=copies.get(blob))
            except BucketTrouble as exc:
                direct.tell(f"{blob}: {exc}; it comes through the service")
    finally:
        direct.bucket.close()


class Fetcher:
    """Fetches into one folder, which others of the same user may use at the same time."""

    def __init__(self, folder: Path, bucket: Bucket, advanced: Callable[[int], None]) -> None:
        """Keep what has come in `folder`; tell how much comes."""
        self._folder = folder
        self._bucket = bucket
        self._advanced = advanced

    def fetch(
        self, blob: str, size: int, request: SignedRequest, *, copy_executable: bool | None = None
    ) -> tuple[Path, Path | None]:
        """Return a file with the content, and unless `copy_executable` is None another; they are the caller's.

        Raises:
            BucketTrouble: if the bucket breaks off again and again; what has come stays for the next time.
            ProtocolBroken: if the content is not what its name says; nothing of it is kept.
            FileTrouble: if it cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._fetch(blob, size, request, copy_executable=copy_executable)
        except OSError as exc:
            raise cannot_write(exc.filename or self._folder, exc) from exc

    def _fetch(
        self, blob: str, size: int, request: SignedRequest, *, copy_executable: bool | None
    ) -> tuple[Path, Path | None]:
        with self._claim(blob) as (name, journal), contextlib.ExitStack() as stack:
            copy = None if copy_executable is None else self._folder / f"{name}.copy"
            writer = None
            if copy is not None:
                writer = stack.enter_context(_written(copy, executable=bool(copy_executable)))
                reserve(writer, size)
            count = -(-size // _RANGE_BYTES)
            come = bytearray(os.pread(journal, count, 0).ljust(count, b"\0"))
            target = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(target).st_size != size:
                    come = bytearray(count)
                    reserve(target, size)
                self._advanced(sum(_length(index, size) for index in range(count) if come[index]))
                md5 = self._fill(target, size, request, journal=journal, come=come, copy=writer)
            finally:
                os.close(target)
            (self._folder / f"{name}.come").unlink()
            if md5 != blob:
                (self._folder / name).unlink()
                raise ProtocolBroken(
                    f"what came as {blob} is something else; it was not kept",
                    hint="the store is damaged, or somebody stands between you and the bucket",
                    reason="BLOB_MISMATCH",
                )
        return self._folder / name, copy

    @contextlib.contextmanager
    def _claim(self, blob: str) -> Iterator[tuple[str, int]]:
        """Take up what a fetch that broke off has left; beside one that is under way, begin anew."""
        for name in (blob, f"{blob}.{os.getpid()}.{threading.get_ident()}"):
            journal = os.open(self._folder / f"{name}.come", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                try:
                    fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield name, journal
                return
            finally:
                os.close(journal)

    def _fill(
        self,
        target: int,
        size: int,
        request: SignedRequest,
        *,
        journal: int,
        come: bytearray,
        copy: int | None,
    ) -> str:
        """Fetch the ranges that lack, and hash all of them in order while later ones are still coming."""
        md5 = hashlib.md5(usedforsecurity=False)
        count = len(come)

        def one(index: int) -> None:
            if come[index]:
                return
            self._range((target,) if copy is None else (target, copy), index, size, request)
            os.pwrite(journal, b"\1", index)

        with ThreadPoolExecutor(max_workers=_STREAMS) as pool:
            # Hashing takes one core, in order; fetching without bound takes it away, and leaves the hash for the end.
            jobs = deque(pool.submit(one, index) for index in range(min(_AHEAD, count)))
            try:
                for index in range(count):
                    jobs.popleft().result()
                    if index + _AHEAD < count:
                        jobs.append(pool.submit(one, index + _AHEAD))
                    for data, offset in _blocks(target, index, size):
                        md5.update(data)
                        if come[index] and copy is not None:
                            _write_at(copy, memoryview(data), offset)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return md5.hexdigest()

    def _range(self, targets: Sequence[int], index: int, size: int, request: SignedRequest) -> None:
        begin, length = index * _RANGE_BYTES, _length(index, size)
        for attempt in range(_ATTEMPTS):
            written = 0

            def take(data: memoryview) -> None:
                nonlocal written
                for target in targets:
                    _write_at(target, data, begin + written)
                written += len(data)
                self._advanced(len(data))

            try:
                self._bucket.get(request, begin, length, take)
            except BucketTrouble:
                self._advanced(-written)
                if attempt == _ATTEMPTS - 1:
                    raise
                threading.Event().wait(_BREAK_S * 2**attempt)
            else:
                return


@contextlib.contextmanager
def _written(file: Path, *, executable: bool) -> Iterator[int]:
    """Write a file, with the mode of a new one; it is removed when that breaks off."""
    file.unlink(missing_ok=True)
    mode = 0o777 if executable else 0o666
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        yield descriptor
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _blocks(file: int, index: int, size: int) -> Iterator[tuple[bytes, int]]:
    """What there is of one range, block by block, with where it begins."""
    begin = index * _RANGE_BYTES
    for offset in range(begin, begin + _length(index, size), _BLOCK_BYTES):
        yield os.pread(file, min(_BLOCK_BYTES, size - offset), offset), offset


def _write_at(file: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(file, data, offset)
        data, offset = data[count:], offset + count


def _sweep(folder: Path) -> None:
    """Remove what broke off so long ago that nobody goes on with it."""
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            if file.stat().st_mtime < time.time() - _STALE_S:
                file.unlink()


def _length(index: int, size: int) -> int:
    return min(_RANGE_BYTES, size - index * _RANGE_BYTES)
