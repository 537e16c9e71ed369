"""Small files of projects in packs, on a real bucket: put, read, collected, checked, lost and found again."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from tests.colliding import COLLIDES_WITH_IT, COLLIDING
from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.clock_system import SystemClock
from wherry.service.adapters.database import Database
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.adapters.packs_sql import SqlPackIndex
from wherry.service.domain.blob import BlobHash, digest_content, hash_content, object_key
from wherry.service.domain.errors import BlobMissing, HashCollision
from wherry.service.domain.findings import BlobFault, FaultKind
from wherry.service.domain.pack import PackMember
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.usecases.check_blobs import CheckBlobs
from wherry.service.usecases.check_packs import CheckPacks
from wherry.service.usecases.collect_packs import CollectPacks, UnusedSources
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.pack_sources import PackSources, SourceBody
from wherry.service.usecases.put_blobs import Chunk, LocalBlob, PutBlobs
from wherry.service.usecases.read_packs import ReadPacks
from wherry.service.usecases.reconcile_packs import ReconcilePacks
from wherry.service.usecases.unpack_blobs import UnpackBlobs

FIVE = [b"import one\n", b"import two\n", b"", b"key: value\n", b"#!/bin/sh\n" * 500]


class CountingStore(S3ObjectStore):
    """Keeps the keys of what is read, whole or in part."""

    reads: list[str]

    async def get(self, key: str) -> bytes | None:
        self.reads.append(key)
        return await super().get(key)

    async def get_range(self, key: str, offset: int, size_bytes: int) -> bytes | None:
        self.reads.append(key)
        return await super().get_range(key, offset, size_bytes)

    async def get_file(self, key: str, target: Path) -> bool:
        self.reads.append(key)
        return await super().get_file(key, target)


@dataclass
class Store:
    """What a service does with sources."""

    objects: CountingStore
    database: Database
    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.log = FakeEventLog()
        self.index = SqlBlobIndex(self.database, self.clock)
        self.packs = SqlPackIndex(self.database, self.clock)
        self.sources = FindSources(index=self.index, packs=self.packs)
        self.reader = ReadPacks(objects=self.objects, packs=self.packs, log=self.log)
        self.absent: list[BlobHash] = []
        self.nodes: list[LocalNodeCache] = []
        self.node = self.new_node("node")
        spool = self.folder / "spool"
        spool.mkdir()
        self.put = PutBlobs(
            objects=self.objects,
            index=self.index,
            node=self.node,
            spool=spool,
            pack=PackSources(objects=self.objects, packs=self.packs, sources=self.sources),
        )
        self.reconcile = ReconcilePacks(
            objects=self.objects, packs=self.packs, clock=SystemClock(), log=self.log
        )
        self.collect = CollectPacks(objects=self.objects, packs=self.packs, reconcile=self.reconcile)

    def new_node(self, name: str) -> LocalNodeCache:
        node = LocalNodeCache(
            self.folder / name, store=self.objects, absent=self.absent.append, packs=self.reader
        )
        self.nodes.append(node)
        return node

    async def send(self, contents: Iterable[bytes], *, sources: bool = True) -> None:
        async def chunks() -> AsyncIterator[Chunk]:
            for content in contents:
                yield Chunk(digest_content(content), 0, content, is_source=sources)

        await self.put.receive(chunks())

    async def keys(self, prefix: str = "") -> list[str]:
        return await self.objects.list_keys(prefix)

    async def read(self, contents: Iterable[bytes], node: LocalNodeCache | None = None) -> list[bytes]:
        """Lay them out as a workspace does: all at once."""
        cache = node or self.node
        with cache.lease() as lease:
            asked = (lease.path(hash_content(content)) for content in contents)
            paths = await asyncio.gather(*asked, return_exceptions=True)
            for path in paths:
                if isinstance(path, BaseException):
                    raise path
            return [path.read_bytes() for path in paths if isinstance(path, Path)]

    async def lacks(self, contents: Collection[bytes]) -> set[BlobHash]:
        return await self.sources.find_missing({hash_content(content) for content in contents})

    async def faults(self) -> list[BlobFault]:
        check = CheckBlobs(
            objects=self.objects,
            index=self.index,
            packs=CheckPacks(objects=self.objects, packs=self.packs, reconcile=self.reconcile),
            spool=self.folder / "spool",
            chance=random.Random(1),
        )
        return [fault async for progress in check(0) for fault in progress.faults]


@pytest.fixture
def store(
    s3_settings: S3Settings, object_store: S3ObjectStore, sqlite_database: Database, tmp_path: Path
) -> Iterator[Store]:
    objects = CountingStore.connect(s3_settings)
    objects.reads = []
    store = Store(objects, sqlite_database, tmp_path)
    yield store
    for node in store.nodes:
        node.close()
    asyncio.run(objects.close())


def test_five_files_are_one_object_which_is_read_once_for_a_workspace(store: Store) -> None:
    async def body() -> None:
        await store.send(FIVE)
        await store.send(FIVE)
        (key,) = await store.keys()
        assert key.startswith("wherry/packs/")
        assert await store.lacks(FIVE) == set()
        assert await store.read(FIVE) == FIVE
        assert store.objects.reads == [key]
        assert await store.read(FIVE) == FIVE
        assert store.objects.reads == [key], "the node has them now"

    asyncio.run(body())


def test_one_file_of_a_long_pack_is_read_by_itself_and_a_second_brings_the_rest(store: Store) -> None:
    contents = [bytes([number]) * 60_000 for number in range(20)]

    async def body() -> None:
        await store.send(contents)
        (key,) = await store.keys()
        assert await store.read(contents[7:8]) == contents[7:8]
        assert not store.node.holds(hash_content(contents[8]))
        assert await store.read(contents) == contents
        assert store.objects.reads == [key, key]

    asyncio.run(body())


def test_what_is_long_or_no_source_or_a_tree_has_an_object_of_its_own(store: Store) -> None:
    long, data = b"x" * 300_000, b"data\n"

    async def body() -> None:
        await store.send([*FIVE, long])
        await store.send([data], sources=False)
        tree = Tree.of([TreeEntry("a", hash_content(data))]).to_bytes()
        digest = Tree.of([TreeEntry("a", hash_content(data))]).digest()

        async def chunks() -> AsyncIterator[Chunk]:
            yield Chunk(digest, 0, tree, is_source=True)

        await store.put.receive(chunks())
        own = {object_key(hash_content(long)), object_key(hash_content(data)), object_key(digest.hash)}
        assert set(await store.keys("files/")) == own
        assert len(await store.keys()) == 4

    asyncio.run(body())


def test_a_source_that_becomes_data_or_an_output_gets_an_object_of_its_own(
    store: Store, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    output.write_bytes(FIVE[0])

    async def body() -> None:
        await store.send(FIVE)
        hashes = [hash_content(content) for content in FIVE]
        assert await store.index.find_missing(hashes) == set(hashes), "for DVC it is not in the store"
        digest = digest_content(FIVE[0])
        sha256 = (await store.packs.find([digest.hash]))[digest.hash].member.sha256
        await store.put.put_files([LocalBlob(digest=digest, sha256=sha256, source=output)])
        await store.send([FIVE[1]], sources=False)
        unpack = UnpackBlobs(packs=store.packs, reader=store.reader, put=store.put)
        assert await unpack([hashes[3], hash_content(b"elsewhere")]) == {hashes[3]}
        for number in (0, 1, 3):
            assert await store.objects.get(object_key(hashes[number])) == FIVE[number]
        assert await store.index.find_missing(hashes) == {hashes[2], hashes[4]}
        assert len(await store.keys()) == 4

    asyncio.run(body())


def test_two_who_upload_the_same_files_at_once_leave_one_pack(store: Store) -> None:
    async def body() -> None:
        await asyncio.gather(*(store.send(order) for order in (FIVE, FIVE[::-1], FIVE, FIVE[2:])))
        assert await store.lacks(FIVE) == set()
        assert await store.read(FIVE) == FIVE
        known = {f"wherry/packs/{pack.name}" for pack in await store.packs.list_packs()}
        assert set(await store.keys()) == known
        assert await store.faults() == []

    asyncio.run(body())


@pytest.mark.parametrize("first_is_packed", [True, False])
def test_other_content_of_a_known_md5_is_refused(store: Store, first_is_packed: bool) -> None:
    async def body() -> None:
        await store.send([COLLIDING], sources=first_is_packed)
        for is_source in (True, False):
            with pytest.raises(HashCollision):
                await store.send([b"beside it\n", COLLIDES_WITH_IT], sources=is_source)
        assert await store.read([COLLIDING]) == [COLLIDING]

    asyncio.run(body())


def test_the_index_is_made_anew_from_the_bucket(store: Store) -> None:
    async def body() -> None:
        await store.send(FIVE)
        await store.objects.put("wherry/packs/" + "a" * 64, b"no pack")
        await store.objects.put("wherry/packs/notes.txt", b"somebody's")
        (name,) = [pack.name for pack in await store.packs.list_packs()]
        before = await store.packs.find({hash_content(content) for content in FIVE})
        await store.packs.forget([name])
        assert len(await store.lacks(FIVE)) == 5
        assert await store.reconcile() == [], "what is no pack may be one that is being written"
        assert await store.packs.find(before.keys()) == before
        assert await store.read(FIVE) == FIVE
        assert len(await store.keys()) == 3

    asyncio.run(body())


def test_a_pack_that_was_put_and_not_recorded_is_taken_in_by_the_next_service(store: Store) -> None:
    class Killed(Exception):
        """The service is gone."""

    class KilledIndex(SqlPackIndex):
        """Of a service that is killed between bucket and index."""

        async def add(self, name: str, size_bytes: int, members: Sequence[PackMember]) -> set[BlobHash]:
            raise Killed

    async def body() -> None:
        killed = KilledIndex(store.database, store.clock)
        pack = PackSources(objects=store.objects, packs=killed, sources=store.sources)
        content = FIVE[0]
        with pytest.raises(Killed):
            await pack([SourceBody(hash_content(content), hashlib.sha256(content).hexdigest(), content)])
        assert len(await store.keys()) == 1
        assert len(await store.lacks([content])) == 1
        await store.reconcile()
        assert await store.lacks([content]) == set()
        await store.send([content])
        assert len(await store.keys()) == 1

    asyncio.run(body())


def test_a_pack_that_has_gone_is_noticed_by_who_reads_and_its_files_are_asked_for_again(store: Store) -> None:
    async def body() -> None:
        await store.send(FIVE)
        await store.send([b"in another pack\n"])
        (pack,) = [place.pack for place in (await store.packs.find([hash_content(FIVE[0])])).values()]
        await store.objects.delete(f"wherry/packs/{pack}")
        with pytest.raises(BlobMissing):
            await store.read(FIVE)
        assert store.absent
        assert len(await store.lacks([*FIVE, b"in another pack\n"])) == 5
        await store.send(FIVE)
        assert await store.read(FIVE) == FIVE

    asyncio.run(body())


def test_a_check_says_what_is_damaged_and_what_has_gone(store: Store) -> None:
    others = [b"other\n", b"another\n"]

    async def body() -> None:
        await store.send(FIVE)
        await store.send(others)
        assert await store.faults() == []
        places = await store.packs.find([hash_content(FIVE[1]), hash_content(others[0])])
        damaged, gone = places[hash_content(FIVE[1])], places[hash_content(others[0])]
        content = bytearray(await store.objects.get(f"wherry/packs/{damaged.pack}") or b"")
        content[damaged.member.offset] ^= 1
        await store.objects.put(f"wherry/packs/{damaged.pack}", bytes(content))
        await store.objects.delete(f"wherry/packs/{gone.pack}")
        with pytest.raises(BlobMissing, match="the store is damaged"):
            await store.read([FIVE[1]])
        found = {fault.hash: fault.kind for fault in await store.faults()}
        assert found == {hash_content(FIVE[1]): FaultKind.DAMAGED, gone.pack: FaultKind.MISSING}
        assert await store.lacks([*FIVE, *others]) == {hash_content(one) for one in (FIVE[1], *others)}
        assert await store.faults() == []
        await store.send([*FIVE, *others])
        assert await store.read([*FIVE, *others]) == [*FIVE, *others]

    asyncio.run(body())


def test_what_is_unused_goes_and_packs_that_are_mostly_dead_or_short_become_one(store: Store) -> None:
    old = [bytes([number]) * 5_000 for number in range(10)]
    short = [f"changed {number}\n".encode() for number in range(9)]

    async def body() -> None:
        await store.send([*old, FIVE[0]])
        await store.send(FIVE[3:])
        store.clock.advance(timedelta(days=100).total_seconds())
        cutoff = store.clock.now() - timedelta(days=30)
        await store.packs.note_use({hash_content(FIVE[0])})
        for content in short:
            await store.send([content])
        kept = {hash_content(FIVE[3])}
        assert await store.collect.measure(cutoff, kept) == UnusedSources(11, 55_000)
        assert await store.collect.drop(cutoff, kept) == UnusedSources(11, 55_000)
        await store.collect.tidy()
        left = [FIVE[0], FIVE[3], *short]
        assert await store.lacks(left) == set()
        assert len(await store.lacks([*old, FIVE[4]])) == 11
        assert len(await store.keys()) == 1
        assert await store.read(left) == left
        before = await store.keys()
        await store.collect.tidy()
        assert await store.keys() == before
        await store.packs.remove({hash_content(content) for content in left})
        await store.collect.tidy()
        assert await store.keys() == []

    asyncio.run(body())


def test_who_reads_while_packs_are_made_anew_finds_everything(store: Store) -> None:
    contents = [bytes([number]) * 100 for number in range(12)]

    async def body() -> None:
        for content in contents:
            await store.send([content])

        async def read(turn: int) -> None:
            assert await store.read(contents, store.new_node(f"node {turn}")) == contents

        await asyncio.gather(store.collect.tidy(), *map(read, range(4)))
        assert len(await store.keys()) == 1
        assert store.absent == []

    asyncio.run(body())
