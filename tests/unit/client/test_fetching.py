import errno
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.client.bucket import Bucket, BucketTrouble
from wherry.client.errors import FileTrouble, ProtocolBroken
from wherry.client.fetching import Fetcher
from wherry.client.reserving import reserve
from wherry.v1.blobs_pb2 import SignedRequest

MIB = 1024 * 1024
# What is said of ranges of 16 MiB in blocks of one holds for smaller ones, which fit into memory and onto the disk many times.
BLOCK = 8 * 1024
RANGE = 16 * BLOCK
# More ranges than are on their way at once, and one that is not whole.
CONTENT = random.Random(4).randbytes(10 * RANGE + 12_345)
BLOB = hashlib.md5(CONTENT).hexdigest()


class ContentBucket(Bucket):
    """A bucket that has one content, and breaks where it is told to."""

    def __init__(self, content: bytes, *, breaks: int = -1, ends: int = -1) -> None:
        """The range that begins at `breaks` breaks off once; at `ends` the program ends."""
        super().__init__()
        self.content = content
        self.breaks = breaks
        self.ends = ends
        self.asked: list[int] = []

    def get(self, request: SignedRequest, offset: int, size: int, take: Callable[[memoryview], None]) -> None:
        self.asked.append(offset)
        if offset == self.ends:
            raise SystemExit
        if offset == self.breaks:
            self.breaks = -1
            take(memoryview(b"something that will be written over"))
            raise BucketTrouble("broken off")
        for begin in range(offset, offset + size, BLOCK):
            take(memoryview(self.content)[begin : min(begin + BLOCK, offset + size)])


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry.client.fetching._RANGE_BYTES", RANGE)
    monkeypatch.setattr("wherry.client.fetching._BLOCK_BYTES", BLOCK)


def fetch(folder: Path, bucket: Bucket, *, copy: bool | None = None) -> tuple[Path, Path | None, int]:
    progress: list[int] = []
    fetcher = Fetcher(folder, bucket, progress.append)
    file, second = fetcher.fetch(BLOB, len(CONTENT), SignedRequest(), copy_executable=copy)
    return file, second, sum(progress)


def test_both_files_have_the_content_and_nothing_else_is_left(tmp_path: Path) -> None:
    file, copy, progress = fetch(tmp_path, ContentBucket(CONTENT), copy=True)
    assert copy is not None
    assert file.read_bytes() == copy.read_bytes() == CONTENT
    assert copy.stat().st_mode & 0o100
    assert progress == len(CONTENT)
    assert sorted(tmp_path.iterdir()) == sorted([file, copy])


def test_what_breaks_off_is_asked_for_again_and_counted_once(tmp_path: Path) -> None:
    bucket = ContentBucket(CONTENT, breaks=3 * RANGE)
    file, copy, progress = fetch(tmp_path, bucket, copy=False)
    assert copy is not None
    assert file.read_bytes() == copy.read_bytes() == CONTENT
    assert bucket.asked.count(3 * RANGE) == 2
    assert progress == len(CONTENT)


def test_a_second_attempt_asks_only_for_what_did_not_come_and_still_makes_both_files(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        fetch(tmp_path, ContentBucket(CONTENT, ends=5 * RANGE), copy=False)
    assert not list(tmp_path.glob("*.copy"))
    bucket = ContentBucket(CONTENT)
    file, copy, progress = fetch(tmp_path, bucket, copy=False)
    assert copy is not None
    assert file.read_bytes() == copy.read_bytes() == CONTENT
    assert 5 * RANGE in bucket.asked
    assert 0 not in bucket.asked
    assert progress == len(CONTENT)


def test_of_something_else_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ProtocolBroken):
        fetch(tmp_path, ContentBucket(bytes(len(CONTENT))), copy=False)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("wherry.client.fetching.reserve", full)
    bucket = ContentBucket(CONTENT)
    with pytest.raises(FileTrouble, match="No space left"):
        fetch(tmp_path, bucket, copy=False)
    assert not bucket.asked
    assert not list(tmp_path.glob("*.copy"))


def test_room_is_there_for_all_of_a_file(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        reserve(file.fileno(), 3 * MIB)
        assert os.fstat(file.fileno()).st_size == 3 * MIB
        assert os.fstat(file.fileno()).st_blocks * 512 >= 3 * MIB
