"""Logs of results, kept whole."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.log_archive_objects import ObjectLogArchive
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.domain.errors import LogGone
from wherry.service.domain.task import LogName
from wherry.service.ports.logs import LogLine, LogStream, NewLine
from wherry.service.ports.objects import ObjectStore

NAME = LogName("0123456789abcdef")
TIME = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture(params=["fake", "s3"])
def objects(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "fake":
        return FakeObjectStore()
    real = request.getfixturevalue("object_store")
    assert isinstance(real, S3ObjectStore)
    return real


@pytest.fixture
def archive(objects: ObjectStore, tmp_path: Path) -> Iterator[ObjectLogArchive]:
    opened = ObjectLogArchive(objects, spool=tmp_path)
    yield opened
    opened.close()
    assert list(tmp_path.iterdir()) == []


async def keep(archive: ObjectLogArchive, pages: Sequence[Sequence[LogLine]]) -> None:
    async def lines() -> AsyncIterator[Sequence[LogLine]]:
        for page in pages:
            yield page

    await archive.keep(NAME, lines())


async def read(archive: ObjectLogArchive, after: int = 0) -> list[LogLine]:
    return [line async for page in archive.read_after(NAME, after) for line in page]


def numbered(sequence: int, text: bytes) -> LogLine:
    return LogLine(
        sequence=sequence, line=NewLine(time=TIME, stage="train", stream=LogStream.STDERR, text=text)
    )


def test_lines_come_back_with_their_numbers_byte_for_byte(archive: ObjectLogArchive) -> None:
    lines = [
        numbered(7, b"plain"),
        numbered(9, b"\xff\0\r"),
        numbered(12, "größer".encode()),
        numbered(13, b""),
    ]

    asyncio.run(keep(archive, [lines[:1], lines[1:]]))

    assert asyncio.run(read(archive)) == lines
    assert asyncio.run(read(archive, after=9)) == lines[2:]


def test_a_long_log_is_small_in_the_bucket(archive: ObjectLogArchive, objects: ObjectStore) -> None:
    lines = [numbered(number, f"epoch {number}: loss 0.{number}".encode()) for number in range(1, 5001)]

    asyncio.run(keep(archive, [lines]))

    kept = asyncio.run(objects.get(f"wherry/logs/{NAME}.jsonl.gz"))
    assert kept is not None
    assert len(kept) < sum(len(line.line.text) for line in lines) / 2
    assert asyncio.run(read(archive)) == lines


def test_an_empty_log_is_not_a_missing_one(archive: ObjectLogArchive) -> None:
    with pytest.raises(LogGone):
        asyncio.run(read(archive))

    asyncio.run(keep(archive, []))

    assert asyncio.run(read(archive)) == []
