"""MD5 of files, in threads, never of a file that changes meanwhile."""

import hashlib
import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wherry.client.errors import FileTrouble
from wherry.client.memory import FileStamp, StateMemory

_BLOCK_BYTES = 1024 * 1024
_EXECUTE_BITS = 0o111
# hashlib releases the GIL on large buffers: a core each; a few more wait for the disk.
_THREADS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file here, hashed."""

    path: str
    """Relative to the DVC root."""
    source: Path
    stamp: FileStamp
    md5: str
    executable: bool

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.stamp.size


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file here, not hashed yet."""

    path: str
    source: Path
    status: os.stat_result


class Hasher:
    """Hashes files, by memory where it can."""

    def __init__(self, memory: StateMemory) -> None:
        """Take the memory of this project."""
        self._memory = memory

    def hash_files(self, found: Sequence[FoundFile]) -> list[LocalFile]:
        """Hash all, in the order given.

        Raises:
            FileTrouble: if one cannot be read, or changes while it is read.
        """
        hashes: dict[str, LocalFile] = {}
        to_read: list[FoundFile] = []
        for file in found:
            stamp = FileStamp.of(file.status)
            md5 = self._memory.recall(file.path, stamp)
            if md5 is None:
                to_read.append(file)
            else:
                hashes[file.path] = _local(file, file.status, md5)
        for file, status, md5 in _read_all(to_read):
            self._memory.remember(file.path, FileStamp.of(status), md5, hashed_at_ns=time.time_ns())
            hashes[file.path] = _local(file, status, md5)
        return [hashes[file.path] for file in found]

    def hash_if_there(self, path: str, source: Path) -> LocalFile | None:
        """Hash one file; None when no file is there."""
        try:
            status = source.stat()
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return self.hash_files([FoundFile(path=path, source=source, status=status)])[0]


def _local(file: FoundFile, status: os.stat_result, md5: str) -> LocalFile:
    return LocalFile(
        path=file.path,
        source=file.source,
        stamp=FileStamp.of(status),
        md5=md5,
        executable=bool(status.st_mode & _EXECUTE_BITS),
    )


def _read_all(files: Sequence[FoundFile]) -> list[tuple[FoundFile, os.stat_result, str]]:
    if len(files) <= 1:
        return [_read(file) for file in files]
    with ThreadPoolExecutor(max_workers=min(_THREADS_MAX, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(_read, files))


def _read(file: FoundFile) -> tuple[FoundFile, os.stat_result, str]:
    try:
        with file.source.open("rb", buffering=0) as stream:
            before = os.fstat(stream.fileno())
            md5 = hashlib.md5(usedforsecurity=False)
            while block := stream.read(_BLOCK_BYTES):
                md5.update(block)
            after = os.fstat(stream.fileno())
    except OSError as exc:
        raise FileTrouble(f"cannot read {file.path}: {exc.strerror or exc}") from exc
    if FileStamp.of(before) != FileStamp.of(after):
        raise FileTrouble(f"{file.path} changed while it was being read", hint="try again when it is quiet")
    return file, after, md5.hexdigest()
