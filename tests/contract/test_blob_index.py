import asyncio
import hashlib

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.clock import FakeClock
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.errors import HashCollision
from wherry.service.ports.blob_index import BlobIndex, BlobRecord


@pytest.fixture(params=["fake", "sqlite_database", "postgres_database"])
def index(request: pytest.FixtureRequest) -> BlobIndex:
    if request.param == "fake":
        return FakeBlobIndex()
    return SqlBlobIndex(request.getfixturevalue(request.param), FakeClock())


def record_of(content: bytes) -> BlobRecord:
    return BlobRecord(
        hash=hash_content(content), size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )


def test_everything_is_missing_from_an_empty_index(index: BlobIndex) -> None:
    hashes = {hash_content(b"a"), hash_content(b"b")}
    assert asyncio.run(index.find_missing(hashes)) == hashes
    assert asyncio.run(index.find(hashes)) == {}


def test_asking_for_nothing_finds_nothing(index: BlobIndex) -> None:
    asyncio.run(index.add([]))
    assert asyncio.run(index.find_missing([])) == set()
    assert asyncio.run(index.find([])) == {}


def test_what_was_added_is_found_with_its_size_and_second_hash(index: BlobIndex) -> None:
    a, b = record_of(b"a"), record_of(b"bb")
    asyncio.run(index.add([a, b]))
    absent = hash_content(b"c")
    assert asyncio.run(index.find([a.hash, b.hash, absent])) == {a.hash: a, b.hash: b}
    assert asyncio.run(index.find_missing([a.hash, absent, b.hash])) == {absent}


def test_a_tree_is_another_blob_than_the_file_with_the_same_md5(index: BlobIndex) -> None:
    file = record_of(b"[]")
    asyncio.run(index.add([file]))
    tree = BlobHash(file.hash + ".dir")
    assert asyncio.run(index.find_missing([tree])) == {tree}


def test_adding_a_blob_again_is_harmless(index: BlobIndex) -> None:
    a = record_of(b"a")
    asyncio.run(index.add([a, a]))
    asyncio.run(index.add([a]))
    assert asyncio.run(index.find([a.hash])) == {a.hash: a}


def test_a_second_content_under_one_md5_is_refused_and_nothing_of_the_batch_kept(index: BlobIndex) -> None:
    held, other = record_of(b"a"), record_of(b"b")
    asyncio.run(index.add([held]))
    forged = BlobRecord(hash=held.hash, size_bytes=held.size_bytes, sha256=other.sha256)
    with pytest.raises(HashCollision):
        asyncio.run(index.add([other, forged]))
    assert asyncio.run(index.find([held.hash, other.hash])) == {held.hash: held}


def test_two_contents_under_one_md5_in_one_batch_are_refused(index: BlobIndex) -> None:
    a = record_of(b"a")
    forged = BlobRecord(hash=a.hash, size_bytes=a.size_bytes, sha256=record_of(b"b").sha256)
    with pytest.raises(HashCollision):
        asyncio.run(index.add([a, forged]))
    assert asyncio.run(index.find([a.hash])) == {}


def test_any_number_of_hashes_may_be_asked_for_at_once(index: BlobIndex) -> None:
    records = [record_of(str(number).encode()) for number in range(25_000)]
    held = records[::2]
    asyncio.run(index.add(held))
    missing = asyncio.run(index.find_missing([record.hash for record in records]))
    assert missing == {record.hash for record in records[1::2]}
    assert asyncio.run(index.find([record.hash for record in records])) == {
        record.hash: record for record in held
    }


def test_all_hashes_are_listed_in_pages(index: BlobIndex) -> None:
    records = [record_of(b"%d" % number) for number in range(5)]
    asyncio.run(index.add(records))
    hashes = sorted(record.hash for record in records)
    assert asyncio.run(index.list_hashes(limit=2)) == hashes[:2]
    assert asyncio.run(index.list_hashes(after=hashes[1], limit=10)) == hashes[2:]
    assert asyncio.run(index.list_hashes(after=hashes[-1], limit=10)) == []


def test_what_was_removed_is_missing_and_may_come_again(index: BlobIndex) -> None:
    a, b = record_of(b"a"), record_of(b"b")
    asyncio.run(index.add([a, b]))
    asyncio.run(index.remove([a.hash, hash_content(b"never there")]))
    assert asyncio.run(index.find_missing([a.hash, b.hash])) == {a.hash}
    asyncio.run(index.add([a]))
    assert asyncio.run(index.find_missing([a.hash])) == set()
