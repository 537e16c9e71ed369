"""What is collected, over a real database: only what nobody needs, and nothing that cannot be made again."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.database import Database
from wherry.service.adapters.packs_sql import SqlPackIndex
from wherry.service.adapters.result_catalog_sql import SqlResultCatalog
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.adapters.runs_sql import SqlRunStore
from wherry.service.domain.blob import BlobHash, hash_content, object_key
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.reads import Reads
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.run import FileRecord, NewRun, StageRecord
from wherry.service.domain.task import RunId, StrictKey
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.ports.run_cache import Result
from wherry.service.usecases.collect_garbage import Collected, CollectGarbage
from wherry.service.usecases.collect_packs import CollectPacks
from wherry.service.usecases.reconcile_packs import ReconcilePacks

_MONTH = timedelta(days=30)


@dataclass
class Store:
    """A service's store, whose time passes when it is told to."""

    database: Database

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.objects = FakeObjectStore()
        self.index = SqlBlobIndex(self.database, self.clock)
        self.cache = SqlRunCache(self.database)
        self.catalog = SqlResultCatalog(self.database)
        self.runs = SqlRunStore(self.database, Random(1))
        self.packs = SqlPackIndex(self.database, self.clock)
        reconcile = ReconcilePacks(
            objects=self.objects, packs=self.packs, clock=self.clock, log=FakeEventLog()
        )
        self.collect = CollectGarbage(
            catalog=self.catalog,
            runs=self.runs,
            objects=self.objects,
            index=self.index,
            packs=CollectPacks(objects=self.objects, packs=self.packs, reconcile=reconcile),
            clock=self.clock,
        )

    async def hold(self, content: bytes) -> BlobHash:
        blob = hash_content(content)
        await self._add(blob, content)
        return blob

    async def hold_tree(self, members: Iterable[bytes]) -> BlobHash:
        entries = [TreeEntry(str(number), await self.hold(member)) for number, member in enumerate(members)]
        tree = Tree.of(entries)
        await self._add(tree.digest().hash, tree.to_bytes())
        return tree.digest().hash

    async def _add(self, blob: BlobHash, content: bytes) -> None:
        await self.objects.put(object_key(blob), content)
        await self.index.add([BlobRecord(hash=blob, size_bytes=len(content), sha256=None)])

    async def result(
        self, key: str, *, outs: Iterable[BlobHash], deps: Iterable[BlobHash] = (), reads: str = ""
    ) -> StrictKey:
        strict = StrictKey(key * 64)
        entry = StageEntry(cmd=key, deps=_entries(deps), params={}, outs=_entries(outs))
        await self.cache.publish(
            Result(
                key=strict,
                entry=entry,
                run_id=RunId("1"),
                user="ana",
                image="i",
                wall_s=1.0,
                created_at=self.clock.now(),
                undeclared=Reads(all_files=reads),
            )
        )
        return strict

    def later(self, days: float) -> None:
        self.clock.advance(timedelta(days=days).total_seconds())

    async def collected(
        self, unused: timedelta = _MONTH, *, inputs: bool = False, dry: bool = False
    ) -> Collected:
        steps = [step async for step in self.collect(unused, inputs=inputs, dry=dry)]
        return steps[-1]

    async def has(self, blob: BlobHash) -> bool:
        """Whether it is held, which bucket and index must agree on."""
        in_bucket = object_key(blob) in self.objects.objects
        assert in_bucket == (not await self.index.find_missing([blob]))
        return in_bucket


def _entries(blobs: Iterable[BlobHash]) -> tuple[FileEntry, ...]:
    return tuple(FileEntry(path=str(number), hash=blob, size_bytes=1) for number, blob in enumerate(blobs))


@pytest.fixture
def store(sqlite_database: Database) -> Store:
    return Store(sqlite_database)


def test_old_results_go_with_what_only_they_hold(store: Store) -> None:
    async def body() -> None:
        source, shared = await store.hold(b"source"), await store.hold(b"shared")
        old = await store.hold(b"old")
        await store.result("a", outs=[old, shared], deps=[source])
        store.later(40)
        new = await store.hold(b"new")
        kept = await store.result("b", outs=[new, shared], deps=[source])
        would = await store.collected(dry=True)
        assert (would.results, would.blobs, would.bytes) == (1, 1, 3)
        assert await store.has(old)
        assert await store.collected() == would
        assert [await store.has(blob) for blob in (old, shared, new, source)] == [False, True, True, True]
        assert [one.result.key for one in await store.catalog.list_page(limit=9)] == [kept]

    asyncio.run(body())


def test_results_of_one_key_stay_as_long_as_any_of_them_is_young(store: Store) -> None:
    async def body() -> None:
        old = await store.hold(b"old")
        await store.result("a", outs=[old], reads="1" * 64)
        store.later(40)
        key = await store.result("a", outs=[await store.hold(b"new")], reads="2" * 64)
        await store.collected()
        assert (await store.has(old), len(await store.cache.find(key))) == (True, 2)
        store.later(40)
        await store.collected()
        assert (await store.has(old), len(await store.cache.find(key))) == (False, 0)

    asyncio.run(body())


def test_use_and_pins_keep_results_and_a_run_that_goes_on_what_it_needs(store: Store) -> None:
    async def body() -> None:
        used, pinned, needed = (
            await store.hold(b"used"),
            await store.hold(b"pinned"),
            await store.hold(b"needed"),
        )
        for key, blob in (("a", used), ("b", pinned), ("c", needed)):
            await store.result(key, outs=[blob])
        await store.catalog.set_pinned(StrictKey("b" * 64), pinned=True)
        store.later(40)
        await store.index.note_use([used])
        run, _ = await store.runs.create(
            NewRun(
                idempotency_key="12345678",
                name="",
                project="p",
                user="ana",
                rev="",
                dirty=False,
                message="",
                created_at=store.clock.now(),
                stages=(StageName("train"),),
            )
        )
        record = FileRecord(path=ProjectPath("data"), hash=needed, size_bytes=6)
        await store.runs.save_stages(run.id, [StageRecord(name=StageName("train"), deps=(record,))])
        assert (await store.collected()).blobs == 0
        assert all([await store.has(blob) for blob in (used, pinned, needed)])

    asyncio.run(body())


def test_members_of_a_folder_stay_as_long_as_any_folder_that_stays_lists_them(store: Store) -> None:
    async def body() -> None:
        old = await store.hold_tree([b"one", b"two"])
        await store.result("a", outs=[old])
        # Data that somebody uploaded, and that no stage made.
        data = await store.hold_tree([b"two", b"three"])
        store.later(40)
        await store.collected()
        assert not await store.has(old)
        assert not await store.has(hash_content(b"one"))
        assert await store.has(data)
        assert await store.has(hash_content(b"two"))

    asyncio.run(body())


def test_inputs_go_only_on_demand_and_what_a_stage_passes_on_is_one(store: Store) -> None:
    async def body() -> None:
        source, passed = await store.hold(b"source"), await store.hold(b"passed on unchanged")
        await store.result("a", outs=[passed], deps=[source, passed])
        foreign = object_key(hash_content(b"pushed by others"))
        await store.objects.put(foreign, b"pushed by others")
        store.later(40)
        await store.collected()
        assert await store.has(source)
        assert await store.has(passed)
        await store.collected(inputs=True)
        assert not await store.has(source)
        # What the index does not know is nobody's business here.
        assert foreign in store.objects.objects

    asyncio.run(body())


def test_what_comes_into_use_while_it_is_collected_stays(store: Store) -> None:
    async def body() -> None:
        blobs = [await store.hold(b"%d" % number) for number in range(3)]
        await store.result("a", outs=blobs)
        store.later(40)
        steps = store.collect(_MONTH, inputs=False, dry=False)
        assert (await anext(steps)).total_blobs == 3
        tree = await store.hold_tree([b"0"])
        await store.index.note_use([blobs[1]])
        last = [step async for step in steps][-1]
        assert last.blobs == 1
        assert [await store.has(blob) for blob in (*blobs, tree)] == [True, True, False, True]

    asyncio.run(body())


def test_the_future_cannot_be_collected(store: Store) -> None:
    with pytest.raises(InvalidInput):
        asyncio.run(store.collected(timedelta(seconds=-1)))
