"""What `wherry cache fsck` finds and takes out, on a real bucket."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.colliding import COLLIDES_WITH_IT, COLLIDING
from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.unit.usecases.test_put_blobs import NoNodeCache
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.database import Database
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.adapters.packs_sql import SqlPackIndex
from wherry.service.domain.blob import BlobHash, digest_content, hash_content, legacy_object_key, object_key
from wherry.service.domain.errors import HashCollision
from wherry.service.domain.findings import BlobFault, CheckProgress, FaultKind
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.usecases.check_blobs import CheckBlobs
from wherry.service.usecases.check_packs import CheckPacks
from wherry.service.usecases.put_blobs import Chunk, LocalBlob, PutBlobs
from wherry.service.usecases.reconcile_packs import ReconcilePacks


class Held:
    """Blobs in a bucket and in an index."""

    def __init__(self, objects: S3ObjectStore, database: Database, spool: Path) -> None:
        self.objects = objects
        self.index = SqlBlobIndex(database, FakeClock())
        self.packs = SqlPackIndex(database, FakeClock())
        self.put = PutBlobs(objects=objects, index=self.index, node=NoNodeCache(), spool=spool)
        self.spool = spool

    def keep(self, content: bytes) -> BlobHash:
        return asyncio.run(self.put.put_content(content)).hash

    def keep_tree(self, *members: bytes) -> BlobHash:
        tree = Tree.of(TreeEntry(str(number), self.keep(member)) for number, member in enumerate(members))
        return asyncio.run(self.put.put_tree(tree.to_bytes())).hash

    def exchange(self, blob: BlobHash, content: bytes) -> None:
        asyncio.run(self.objects.put(object_key(blob), content))

    def lose(self, blob: BlobHash) -> None:
        asyncio.run(self.objects.delete(object_key(blob)))

    def check(self, sample: int = 0) -> tuple[CheckProgress, dict[BlobHash, BlobFault]]:
        async def run() -> list[CheckProgress]:
            reconcile = ReconcilePacks(
                objects=self.objects, packs=self.packs, clock=FakeClock(), log=FakeEventLog()
            )
            check = CheckBlobs(
                objects=self.objects,
                index=self.index,
                packs=CheckPacks(objects=self.objects, packs=self.packs, reconcile=reconcile),
                spool=self.spool,
                chance=random.Random(1),
            )
            return [progress async for progress in check(sample)]

        told = asyncio.run(run())
        assert list(self.spool.iterdir()) == []
        faults = [fault for progress in told for fault in progress.faults]
        assert len(faults) == len({fault.hash for fault in faults})
        return told[-1], {fault.hash: fault for fault in faults}

    def missing(self, *blobs: BlobHash) -> set[BlobHash]:
        return asyncio.run(self.index.find_missing(blobs))

    def in_bucket(self, blob: BlobHash) -> bool:
        return asyncio.run(self.objects.get(object_key(blob))) is not None


@pytest.fixture
def held(object_store: S3ObjectStore, sqlite_database: Database, tmp_path: Path) -> Held:
    (tmp_path / "spool").mkdir()
    return Held(object_store, sqlite_database, tmp_path / "spool")


def test_a_store_in_order_is_said_to_be(held: Held) -> None:
    held.keep_tree(b"one", b"two")
    end, faults = held.check()
    assert (end.checked, end.total, faults) == (3, 3, {})
    assert end.bytes_read > 6


def test_what_somebody_else_pushed_is_known_by_a_second_name_once_it_was_read(held: Held) -> None:
    tree = Tree.of([TreeEntry("a", hash_content(b"one"))]).to_bytes()
    names = {hash_content(b"one"): b"one", BlobHash(f"{hash_content(tree)}.dir"): tree}
    for name, content in names.items():
        asyncio.run(held.objects.put(object_key(name), content))
    asyncio.run(held.index.add(BlobRecord(hash=name, size_bytes=0, sha256=None) for name in names))

    assert held.check()[1] == {}

    found = asyncio.run(held.index.find(names))
    for name, content in names.items():
        assert found[name].sha256 == hashlib.sha256(content).hexdigest()
        assert found[name].size_bytes == len(content)


def test_what_dvc_2_pushed_is_read_too_reported_and_left(held: Held) -> None:
    windows, lost = b"one\r\ntwo\r\n", BlobHash("f" * 32)
    whole = hash_content(b"one\ntwo\n")  # as DVC 2 names it
    colliding = held.keep(COLLIDING)
    listing = b'[{"md5": "%s", "relpath": "a"}, {"md5": "%s", "relpath": "b"}]' % (
        whole.encode(),
        lost.encode(),
    )
    folder = BlobHash(f"{hash_content(listing)}.dir")
    objects = {
        whole: windows,
        BlobHash("0" * 32): b"rotten",
        folder: listing,
        BlobHash("00" + "1" * 30 + ".dir"): b"[]",
        colliding: COLLIDES_WITH_IT,
    }
    for name, content in objects.items():
        asyncio.run(held.objects.put(legacy_object_key(name), content))
    asyncio.run(held.objects.put("runs/ab/other", b"nothing of ours"))

    end, faults = held.check()

    assert (end.checked, end.total) == (6, 6)
    assert {blob: fault.kind for blob, fault in faults.items()} == {
        BlobHash("0" * 32): FaultKind.DAMAGED,
        BlobHash("00" + "1" * 30 + ".dir"): FaultKind.DAMAGED,
        folder: FaultKind.INCOMPLETE,
        colliding: FaultKind.EXCHANGED,
    }
    assert lost in faults[folder].message
    assert held.missing(colliding) == set()
    for name, content in objects.items():
        assert asyncio.run(held.objects.get(legacy_object_key(name))) == content
    assert held.check(3)[0].checked == 3


def test_an_empty_store_is_in_order(held: Held) -> None:
    end, faults = held.check()
    assert (end.checked, end.total, faults) == (0, 0, {})


def test_damaged_and_missing_blobs_go_with_the_folders_that_list_them(held: Held) -> None:
    broken_tree = held.keep_tree(b"good", b"to be damaged")
    other_broken_tree = held.keep_tree(b"to be lost")
    whole_tree = held.keep_tree(b"good", b"fine")
    damaged, lost, good = hash_content(b"to be damaged"), hash_content(b"to be lost"), hash_content(b"good")
    held.exchange(damaged, b"rotten")
    held.lose(lost)

    _, faults = held.check()

    assert {blob: fault.kind for blob, fault in faults.items()} == {
        damaged: FaultKind.DAMAGED,
        lost: FaultKind.MISSING,
        broken_tree: FaultKind.INCOMPLETE,
        other_broken_tree: FaultKind.INCOMPLETE,
    }
    assert damaged in faults[broken_tree].message
    assert held.missing(*faults, good, whole_tree) == set(faults)
    # Stock DVC believes that a tree in the bucket is whole: none is left whose member is not.
    assert [held.in_bucket(blob) for blob in (damaged, lost, broken_tree, other_broken_tree)] == [False] * 4
    assert held.in_bucket(whole_tree)
    assert held.check()[1] == {}

    held.keep_tree(b"good", b"to be damaged")
    assert held.missing(damaged, broken_tree) == set()
    assert held.check()[1] == {}


def test_a_folder_whose_member_the_index_does_not_know_is_incomplete(held: Held) -> None:
    tree = held.keep_tree(b"one", b"two")
    asyncio.run(held.index.remove([hash_content(b"two")]))
    _, faults = held.check()
    assert [(fault.hash, fault.kind) for fault in faults.values()] == [(tree, FaultKind.INCOMPLETE)]
    assert held.missing(tree) == {tree}


def test_a_folder_that_is_damaged_itself_goes_and_its_members_stay(held: Held) -> None:
    tree = held.keep_tree(b"one", b"two")
    held.exchange(tree, b"[]")
    _, faults = held.check()
    assert {blob: fault.kind for blob, fault in faults.items()} == {tree: FaultKind.DAMAGED}
    assert held.missing(hash_content(b"one"), hash_content(b"two")) == set()


def test_a_sample_checks_as_many_as_were_asked_for(held: Held) -> None:
    for number in range(20):
        held.keep(b"%d" % number)
    assert held.check(5)[0].checked == 5
    assert held.check(100)[0].checked == 20


def test_two_contents_of_one_md5_are_told_apart(held: Held) -> None:
    assert hashlib.md5(COLLIDING).digest() == hashlib.md5(COLLIDES_WITH_IT).digest()
    assert COLLIDING != COLLIDES_WITH_IT
    name = held.keep(COLLIDING)

    async def send(content: bytes) -> int:
        async def chunks() -> AsyncIterator[Chunk]:
            yield Chunk(digest_content(content), 0, content)

        return await held.put.receive(chunks())

    with pytest.raises(HashCollision, match=name):
        asyncio.run(send(COLLIDES_WITH_IT))
    assert asyncio.run(held.objects.get(object_key(name))) == COLLIDING
    assert asyncio.run(send(COLLIDING)) == 1
    # What the store has now is checked as well: whoever writes to the bucket may exchange the content.
    held.exchange(name, COLLIDES_WITH_IT)
    _, faults = held.check()
    assert [(fault.hash, fault.kind) for fault in faults.values()] == [(name, FaultKind.EXCHANGED)]
    assert held.missing(name) == {name}


def test_of_two_contents_of_one_md5_that_come_at_once_the_first_stays(held: Held) -> None:
    name = hash_content(COLLIDING)

    async def send(content: bytes) -> int:
        async def chunks() -> AsyncIterator[Chunk]:
            yield Chunk(digest_content(content), 0, content)

        return await held.put.receive(chunks())

    async def send_all() -> list[int | BaseException]:
        calls = [send(content) for _ in range(8) for content in (COLLIDING, COLLIDES_WITH_IT)]
        return await asyncio.gather(*calls, return_exceptions=True)

    done = asyncio.run(send_all())

    kept = asyncio.run(held.objects.get(object_key(name)))
    assert kept in {COLLIDING, COLLIDES_WITH_IT}
    took = {
        content
        for content, answer in zip((COLLIDING, COLLIDES_WITH_IT) * 8, done, strict=True)
        if answer == 1
    }
    assert took == {kept}
    assert sum(isinstance(answer, HashCollision) for answer in done) == 8
    assert held.check()[1] == {}


def test_a_stage_that_writes_both_is_refused(held: Held, tmp_path: Path) -> None:
    blobs = []
    for number, content in enumerate((COLLIDING, COLLIDES_WITH_IT)):
        source = tmp_path / str(number)
        source.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        blobs.append(LocalBlob(digest=digest_content(content), sha256=sha256, source=source))
    with pytest.raises(HashCollision, match=blobs[0].digest.hash):
        asyncio.run(held.put.put_files(blobs))
    assert held.missing(blobs[0].digest.hash) == {blobs[0].digest.hash}
