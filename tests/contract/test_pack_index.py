"""The index of packs, on the fake and on both databases."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import Connection, func, insert, select, text

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.clock import FakeClock
from tests.fakes.pack_index import FakePackIndex
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.content_lock import hold_contents
from wherry.service.adapters.database import Database
from wherry.service.adapters.packs_sql import SqlPackIndex
from wherry.service.adapters.tables import blobs, packed_blobs, packs
from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.errors import HashCollision
from wherry.service.domain.pack import PackMember
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.packs import PackedBlob, PackIndex, PackState


@dataclass
class Indexes:
    """An index of packs, beside the index of blobs that it compares with."""

    packs: PackIndex
    blobs: BlobIndex


@pytest.fixture(params=["fake", "sqlite_database", "postgres_database"])
def indexes(request: pytest.FixtureRequest) -> Indexes:
    if request.param == "fake":
        blobs = FakeBlobIndex()
        return Indexes(FakePackIndex(blobs), blobs)
    database = request.getfixturevalue(request.param)
    return Indexes(SqlPackIndex(database, FakeClock()), SqlBlobIndex(database, FakeClock()))


def members_of(*contents: bytes, start: int = 100) -> list[PackMember]:
    members, offset = [], start
    for content in contents:
        members.append(
            PackMember(hash_content(content), hashlib.sha256(content).hexdigest(), offset, len(content))
        )
        offset += len(content)
    return members


def names(*contents: bytes) -> set[BlobHash]:
    return {hash_content(content) for content in contents}


def forged(member: PackMember) -> PackMember:
    return PackMember(member.hash, "0" * 64, member.offset, member.size_bytes)


def test_what_was_added_is_found_at_its_place(indexes: Indexes) -> None:
    async def body() -> None:
        a, b = members_of(b"a", b"bb")
        assert await indexes.packs.add("p", 200, [a, b]) == names(b"a", b"bb")
        assert await indexes.packs.find([*names(b"a", b"never")]) == {
            a.hash: PackedBlob(member=a, pack="p", pack_bytes=200)
        }
        assert await indexes.packs.find([]) == {}
        assert await indexes.packs.list_packs() == [
            PackState(name="p", size_bytes=200, members=2, members_bytes=3)
        ]
        assert [place.member for place in await indexes.packs.members_of("p")] == [a, b]
        # For DVC nothing of it is in the store.
        assert await indexes.blobs.find_missing(names(b"a")) == names(b"a")

    asyncio.run(body())


def test_of_any_number_of_hashes_those_are_missing_that_stand_in_no_pack(indexes: Indexes) -> None:
    async def body() -> None:
        members = members_of(*(str(number).encode() for number in range(800)))
        await indexes.packs.add("p", 9_000, members)
        never = {BlobHash(f"{number:032x}") for number in range(12_000)}
        held = {member.hash for member in members}

        assert await indexes.packs.find_missing(held | never) == never
        assert await indexes.packs.find_missing(list(held)[:3]) == set()
        assert await indexes.packs.find_missing([members[0].hash, BlobHash("f" * 32)]) == {"f" * 32}
        assert await indexes.packs.find_missing([]) == set()
        assert (await indexes.packs.find(held | never)).keys() == held

    asyncio.run(body())


def test_what_is_known_stays_where_it_is_and_a_pack_of_nothing_new_is_not_recorded(indexes: Indexes) -> None:
    async def body() -> None:
        await indexes.packs.add("p", 200, members_of(b"a", b"b"))
        assert await indexes.packs.add("q", 300, members_of(b"b", b"c", start=7)) == names(b"c")
        assert await indexes.packs.add("r", 300, members_of(b"a", b"c")) == set()
        # The same pack once more, as of two who upload the same files at once: it is not to be deleted.
        assert await indexes.packs.add("p", 200, members_of(b"a", b"b")) == names(b"a", b"b")
        found = await indexes.packs.find(names(b"a", b"b", b"c"))
        assert [found[hash_content(one)].pack for one in (b"a", b"b", b"c")] == ["p", "p", "q"]
        assert [pack.name for pack in await indexes.packs.list_packs()] == ["p", "q"]

    asyncio.run(body())


def test_a_second_content_of_an_md5_is_refused_wherever_the_first_is(indexes: Indexes) -> None:
    async def body() -> None:
        a, b, c = members_of(b"a", b"b", b"c")
        await indexes.packs.add("p", 200, [a])
        await indexes.blobs.add([BlobRecord(hash=b.hash, size_bytes=1, sha256=b.sha256)])
        for wrong in ([c, forged(a)], [c, forged(b)], [c, forged(c)]):
            with pytest.raises(HashCollision):
                await indexes.packs.add("q", 200, wrong)
        assert await indexes.packs.find([c.hash]) == {}
        assert len(await indexes.packs.list_packs()) == 1
        # The right content has an object of its own: it may stand in a pack too.
        assert await indexes.packs.add("q", 200, [b]) == {b.hash}

    asyncio.run(body())


def test_members_move_into_another_pack_and_the_rest_is_forgotten(indexes: Indexes) -> None:
    async def body() -> None:
        await indexes.packs.add("p", 200, members_of(b"a", b"b"))
        await indexes.packs.add("q", 300, members_of(b"c", b"d"))
        await indexes.packs.add("r", 300, members_of(b"e"))
        moved = members_of(b"c", b"a", b"e", start=500)
        await indexes.packs.move("s", 900, moved, out_of={"p", "q"})
        found = await indexes.packs.find(names(b"a", b"b", b"c", b"d", b"e"))
        assert {blob: place.pack for blob, place in found.items()} == {
            hash_content(b"a"): "s",
            hash_content(b"c"): "s",
            hash_content(b"e"): "r",
        }
        assert found[hash_content(b"a")].member == moved[1]
        assert [pack.name for pack in await indexes.packs.list_packs()] == ["r", "s"]

    asyncio.run(body())


def test_what_is_removed_is_looked_for_no_more_and_a_forgotten_pack_takes_all_with_it(
    indexes: Indexes,
) -> None:
    async def body() -> None:
        await indexes.packs.add("p", 200, members_of(b"a", b"b", b"c"))
        await indexes.packs.remove(names(b"a", b"never"))
        assert set(await indexes.packs.find(names(b"a", b"b"))) == names(b"b")
        assert [pack.members for pack in await indexes.packs.list_packs()] == [2]
        assert await indexes.packs.forget(["p", "unknown"]) == 2
        assert await indexes.packs.list_packs() == []
        assert await indexes.packs.find(names(b"b")) == {}

    asyncio.run(body())


def test_many_who_add_the_same_files_at_once_do_not_get_in_each_others_way(indexes: Indexes) -> None:
    contents = [str(number).encode() for number in range(1_200)]

    async def body() -> None:
        taken = await asyncio.gather(
            *(
                indexes.packs.add(f"pack {turn}", 9, members_of(*contents[:: turn % 2 * 2 - 1]))
                for turn in range(4)
            ),
            indexes.packs.note_use(names(*contents)),
        )
        assert sorted(len(blobs) for blobs in taken[:4] if blobs) == [1_200]
        assert len(await indexes.packs.find(names(*contents))) == 1_200

    asyncio.run(body())


def test_uses_of_packed_blobs_are_kept_to_the_day(database: Database) -> None:
    async def body() -> None:
        clock = FakeClock()
        packs = SqlPackIndex(database, clock)
        await packs.add("p", 200, members_of(b"a", b"b"))
        came = clock.now()
        clock.advance(26 * 3600)
        await packs.note_use(names(b"a", b"never"))
        used = clock.now()
        clock.advance(3600)
        await packs.note_use(names(b"a"))
        unused = await packs.list_unused(clock.now() + timedelta(seconds=1))
        assert {use.hash: use.used_at for use in unused} == {
            hash_content(b"a"): used,
            hash_content(b"b"): came,
        }
        assert [use.hash for use in await packs.list_unused(used)] == [hash_content(b"b")]

    asyncio.run(body())


def test_what_stands_in_a_pack_cannot_come_with_other_content_as_an_object(database: Database) -> None:
    async def body() -> None:
        (a,) = members_of(b"a")
        await SqlPackIndex(database, FakeClock()).add("p", 200, [a])
        blobs = SqlBlobIndex(database, FakeClock())
        with pytest.raises(HashCollision):
            await blobs.add([BlobRecord(hash=a.hash, size_bytes=1, sha256="0" * 64)])
        assert await blobs.find_missing([a.hash]) == {a.hash}
        await blobs.add([BlobRecord(hash=a.hash, size_bytes=1, sha256=a.sha256)])

    asyncio.run(body())


_LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_HELD, _WAITS = text(f"{_LOCKS} AND granted"), text(f"{_LOCKS} AND NOT granted")


@asynccontextmanager
async def set_at_the_end(event: threading.Event) -> AsyncIterator[None]:
    try:
        yield
    finally:
        event.set()


@pytest.mark.parametrize("first", ["as an object", "in a pack"])
def test_of_two_contents_that_come_in_the_same_instant_the_second_is_refused(
    postgres_database: Database, first: str
) -> None:
    (member,) = members_of(b"a")
    other, now, commit = forged(member), FakeClock().now(), threading.Event()

    def add_first(connection: Connection) -> None:
        """As far as its commit."""
        row = {
            "hash": member.hash,
            "size_bytes": member.size_bytes,
            "sha256": member.sha256,
            "created_at": now,
        }
        hold_contents(connection, alone=first == "in a pack")
        if first == "in a pack":
            connection.execute(insert(packs).values(name="p", size_bytes=101, created_at=now))
            connection.execute(insert(packed_blobs).values(**row, pack="p", offset_bytes=100))
        else:
            connection.execute(insert(blobs).values(row))
        assert commit.wait(60)

    async def add_second() -> None:
        if first == "in a pack":
            record = BlobRecord(hash=other.hash, size_bytes=other.size_bytes, sha256=other.sha256)
            await SqlBlobIndex(postgres_database, FakeClock()).add([record])
        else:
            await SqlPackIndex(postgres_database, FakeClock()).add("q", 101, [other])

    def is_there(connection: Connection) -> bool:
        mine = packed_blobs if first == "as an object" else blobs
        return bool(connection.execute(select(func.count()).select_from(mine)).scalar_one())

    async def check() -> None:
        one = asyncio.create_task(postgres_database.run(add_first))
        two: asyncio.Task[None] | None = None
        async with asyncio.timeout(60), set_at_the_end(commit):
            while not await postgres_database.run(lambda connection: connection.scalar(_WAITS)):
                # Only once the first has what it wants to hold.
                if two is None and await postgres_database.run(lambda connection: connection.scalar(_HELD)):
                    two = asyncio.create_task(add_second())
                assert two is None or not two.done(), "the second saw nothing of the first"
        await one
        assert two is not None
        with pytest.raises(HashCollision, match=member.hash):
            await two
        assert not await postgres_database.run(is_there)

    asyncio.run(check())
