import asyncio
import hashlib
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import select

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.clock import FakeClock
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.database import Database
from wherry.service.adapters.tables import blobs
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


def foreign(record: BlobRecord) -> BlobRecord:
    """The blob as a listing tells of it: nobody has seen its content."""
    return replace(record, sha256=None)


def test_a_blob_of_which_only_the_size_is_known_is_held(index: BlobIndex) -> None:
    a = foreign(record_of(b"a"))
    asyncio.run(index.add([a]))
    assert asyncio.run(index.find_missing([a.hash])) == set()
    assert asyncio.run(index.find([a.hash])) == {a.hash: a}


def test_the_second_hash_is_recorded_once_it_is_known_and_then_stays(index: BlobIndex) -> None:
    a, b = record_of(b"a"), record_of(b"b")
    wrong_size = replace(foreign(a), size_bytes=7)
    asyncio.run(index.add([wrong_size, foreign(b)]))
    asyncio.run(index.add([a]))
    assert asyncio.run(index.find([a.hash, b.hash])) == {a.hash: a, b.hash: foreign(b)}
    asyncio.run(index.add([wrong_size]))
    assert asyncio.run(index.find([a.hash])) == {a.hash: a}


def test_a_second_content_is_refused_also_where_the_first_was_recorded_later(index: BlobIndex) -> None:
    a, c = record_of(b"a"), record_of(b"c")
    forged = replace(a, sha256=c.sha256)
    asyncio.run(index.add([foreign(a), foreign(c)]))
    asyncio.run(index.add([a]))
    with pytest.raises(HashCollision):
        asyncio.run(index.add([forged]))
    with pytest.raises(HashCollision):
        asyncio.run(index.add([c, replace(c, sha256=a.sha256)]))
    assert asyncio.run(index.find([a.hash, c.hash])) == {a.hash: a, c.hash: foreign(c)}


def test_many_that_add_and_use_the_same_blobs_at_once_do_not_get_in_each_others_way(
    index: BlobIndex,
) -> None:
    records = [record_of(str(number).encode()) for number in range(1_500)]
    hashes = [record.hash for record in records]

    async def all_at_once() -> None:
        await asyncio.gather(
            *(index.add(map(foreign, part)) for part in (records, records[::-1])),
            *(index.add(part) for part in (records, records[::-1])),
            *(index.note_use(part) for part in (hashes, hashes[::-1], hashes[500:])),
        )

    asyncio.run(all_at_once())
    assert asyncio.run(index.find(hashes)) == {record.hash: record for record in records}


def last_uses(database: Database) -> dict[str, datetime | None]:
    rows = asyncio.run(
        database.run(lambda connection: connection.execute(select(blobs.c.hash, blobs.c.last_used_at)).all())
    )
    return {row.hash: row.last_used_at for row in rows}


def test_uses_are_kept_to_the_day_and_of_held_blobs_only(database: Database) -> None:
    clock = FakeClock()
    index = SqlBlobIndex(database, clock)
    a, b, absent = record_of(b"a"), record_of(b"b"), record_of(b"c")
    asyncio.run(index.add([a, b]))
    first = clock.now()
    asyncio.run(index.note_use([a.hash, absent.hash]))
    clock.advance(3600)
    asyncio.run(index.note_use([a.hash]))
    assert last_uses(database) == {a.hash: first, b.hash: None}
    clock.advance(25 * 3600)
    asyncio.run(index.note_use([a.hash, b.hash, a.hash]))
    assert last_uses(database) == {a.hash: clock.now(), b.hash: clock.now()}


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
