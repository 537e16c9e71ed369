"""MD5 of files, in threads, never of a file that changes meanwhile."""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from wherry.client.errors import FileTrouble
from wherry.client.memory import FileStamp, StateMemory
from wherry.client.progress import Progress, Silent

_BLOCK_BYTES = 1024 * 1024
# Of each block that DVC 2 read, as many bytes tell text from the rest.
_HEAD_BYTES = 512
_TEXT_BYTES = bytes(range(32, 127)) + b"\n\r\t\f\b"
_EXECUTE_BITS = 0o111
# Less is hashed in a second.
_TOLD_FROM_BYTES = 256 * 1024 * 1024
# hashlib releases the GIL on large buffers: a core each; a few more wait for the disk.
_THREADS_MAX = 16

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


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

    def __init__(self, memory: StateMemory, progress: Progress | None = None) -> None:
        """Take the memory of this project, and who hears of hashing that takes a while."""
        self._memory = memory
        self._progress = progress or Silent()

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
        for file, status, md5 in self._read_all(to_read):
            self._memory.remember(file.path, FileStamp.of(status), md5, hashed_at_ns=time.time_ns())
            hashes[file.path] = _local(file, status, md5)
        return [hashes[file.path] for file in found]

    def _read_all(self, files: Sequence[FoundFile]) -> list[tuple[FoundFile, os.stat_result, str]]:
        size = sum(file.status.st_size for file in files)
        if size < _TOLD_FROM_BYTES:
            return _in_threads(partial(_read, read=lambda _: None), files)
        self._progress.begin("Hashing", len(files), size)
        try:
            return _in_threads(partial(_read, read=self._progress.advance), files)
        finally:
            self._progress.end()

    def hash_as_dvc_2(self, files: Sequence[LocalFile]) -> list[str]:
        """Hash files as DVC 2 did, in the order given: with the Windows line ends of text made plain.

        Raises:
            FileTrouble: if one cannot be read, or is not any more what it was when it was hashed.
        """
        hashes = {file.path: self._memory.recall_legacy(file.path, file.stamp) for file in files}
        for file, legacy in _in_threads(_read_as_dvc_2, [file for file in files if not hashes[file.path]]):
            self._memory.remember_legacy(file.path, file.stamp, legacy, hashed_at_ns=time.time_ns())
            hashes[file.path] = legacy
        return [hashes[file.path] or "" for file in files]

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


def _in_threads(action: Callable[[ItemT], ResultT], items: Sequence[ItemT]) -> list[ResultT]:
    if len(items) <= 1:
        return [action(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(_THREADS_MAX, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(action, items))


def _read(file: FoundFile, read: Callable[[int], None]) -> tuple[FoundFile, os.stat_result, str]:
    def counted(block: bytes) -> bytes:
        read(len(block))
        return block

    status, md5 = _digest(file.path, file.source, counted)
    return file, status, md5


def _read_as_dvc_2(file: LocalFile) -> tuple[LocalFile, str]:
    status, md5 = _digest(file.path, file.source, _with_plain_line_ends)
    if FileStamp.of(status) != file.stamp:
        raise _changed(file.path)
    return file, md5


def _digest(path: str, source: Path, convert: Callable[[bytes], bytes]) -> tuple[os.stat_result, str]:
    try:
        with source.open("rb", buffering=0) as stream:
            before = os.fstat(stream.fileno())
            md5 = hashlib.md5(usedforsecurity=False)
            while block := stream.read(_BLOCK_BYTES):
                md5.update(convert(block))
            after = os.fstat(stream.fileno())
    except OSError as exc:
        raise FileTrouble(
            f"cannot read {path}: {exc.strerror or exc}",
            where=path,
            hint="make it readable for yourself, or add it to .dvcignore",
        ) from exc
    if FileStamp.of(before) != FileStamp.of(after):
        raise _changed(path)
    return after, md5.hexdigest()


def _changed(path: str) -> FileTrouble:
    return FileTrouble(f"{path} changed while it was being read", hint="try again when it is quiet")


def _with_plain_line_ends(block: bytes) -> bytes:
    """What DVC 2 hashed of a block: of text, guessed as it did, CR LF becomes LF."""
    head = block[:_HEAD_BYTES]
    if b"\r\n" not in block or b"\0" in head:
        return block
    is_text = 10 * len(head.translate(None, _TEXT_BYTES)) <= 3 * len(head)
    return block.replace(b"\r\n", b"\n") if is_text else block
