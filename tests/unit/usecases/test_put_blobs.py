"""Taking content in."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.colliding import colliding_pair
from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.object_store import FakeObjectStore
from wherry.service.domain.blob import BlobHash, Digest, digest_content, object_key
from wherry.service.domain.errors import BlobMismatch, HashCollision, TooMany, TreeIncomplete
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.ports.workspaces import NodeCache, NodeLease
from wherry.service.usecases.put_blobs import Chunk, LocalBlob, PutBlobs


class NoNodeCache(NodeCache):
    """Keeps nothing: the tests look at the bucket and the index."""

    async def read(self, digest_hash: str, *, limit_bytes: int) -> bytes:
        raise AssertionError(digest_hash)

    def holds(self, digest_hash: str) -> bool:
        return False

    async def path(self, digest_hash: str) -> Path:
        raise AssertionError(digest_hash)

    def lease(self) -> AbstractContextManager[NodeLease]:
        raise AssertionError("nothing is leased here")

    async def make_room(self, size_bytes: int) -> None:
        """There is room."""

    async def adopt(self, digest_hash: str, source: Path) -> None:
        """Nothing to do."""


class Store:
    """A PutBlobs with what it writes to."""

    def __init__(self, spool: Path) -> None:
        self.objects = FakeObjectStore()
        self.index = FakeBlobIndex()
        self.put = PutBlobs(objects=self.objects, index=self.index, node=NoNodeCache(), spool=spool)

    async def holds(self, digest: Digest) -> bool:
        return not await self.index.find_missing([digest.hash])

    async def body(self, digest: Digest) -> bytes | None:
        return await self.objects.get(object_key(digest.hash))


def chunks(*blobs: tuple[Digest, bytes], size: int = 1024) -> list[Chunk]:
    return [
        Chunk(digest, at, data[at : at + size])
        for digest, data in blobs
        for at in range(0, max(len(data), 1), size)
    ]


async def stream(items: list[Chunk]) -> AsyncIterator[Chunk]:
    for item in items:
        yield item


def tree_of(*members: bytes) -> tuple[Digest, bytes]:
    data = json.dumps(
        [{"md5": digest_content(member).hash, "relpath": f"f{n}"} for n, member in enumerate(members)]
    )
    plain = digest_content(data.encode())
    return Digest(BlobHash(plain.hash + ".dir"), plain.size_bytes), data.encode()


@given(bodies=st.lists(st.binary(max_size=3000), max_size=6), size=st.integers(1, 1024))
def test_what_is_received_is_held_and_whole(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], size: int
) -> None:
    store = Store(tmp_path_factory.getbasetemp())
    named = [(digest_content(body), body) for body in bodies]

    async def check() -> None:
        assert await store.put.receive(stream(chunks(*named, size=size))) == len(bodies)
        for digest, body in named:
            assert await store.holds(digest)
            assert await store.body(digest) == body

    asyncio.run(check())


def test_what_is_held_and_nobody_has_read_is_compared_before_its_second_name_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = colliding_pair(3_000)
    digest = digest_content(first)

    async def check() -> None:
        await store.objects.put(object_key(digest.hash), first)
        await store.index.add([BlobRecord(hash=digest.hash, size_bytes=3_000, sha256=None)])
        with pytest.raises(HashCollision):
            await store.put.receive(stream(chunks((digest, second))))
        assert store.index.records[digest.hash].sha256 is None
        await store.put.receive(stream(chunks((digest, first))))
        assert store.index.records[digest.hash].sha256 == hashlib.sha256(first).hexdigest()
        assert await store.body(digest) == first

    asyncio.run(check())


def test_a_body_too_long_for_memory_is_spooled_and_leaves_nothing(tmp_path: Path) -> None:
    store, body = Store(tmp_path), b"x" * 3_000_000
    digest = digest_content(body)

    async def check() -> None:
        await store.put.receive(stream(chunks((digest, body), size=1_000_000)))
        assert await store.body(digest) == body

    asyncio.run(check())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(chunks((digest_content(b"promised"), b"provided")), id="another content"),
        pytest.param([Chunk(digest_content(b"promised"), 0, b"prom")], id="too short"),
        pytest.param([Chunk(digest_content(b"ab"), 0, b"abc")], id="too long"),
        pytest.param([Chunk(digest_content(b"ab"), 1, b"b")], id="begins in the middle"),
        pytest.param(
            [Chunk(digest_content(b"ab"), 0, b"a"), Chunk(digest_content(b"c"), 0, b"c")],
            id="another blob between",
        ),
    ],
)
def test_a_blob_that_is_not_what_was_announced_is_refused_and_those_before_it_are_kept(
    tmp_path: Path, items: list[Chunk]
) -> None:
    store, good = Store(tmp_path), b"good"

    async def check() -> None:
        with pytest.raises(BlobMismatch):
            await store.put.receive(stream([*chunks((digest_content(good), good)), *items]))
        assert await store.holds(digest_content(good))
        assert await store.objects.list_keys("files/") == [object_key(digest_content(good).hash)]

    asyncio.run(check())


def test_a_tree_is_taken_after_its_members_and_not_before(tmp_path: Path) -> None:
    store, (digest, data) = Store(tmp_path), tree_of(b"one", b"two")
    members = [(digest_content(body), body) for body in (b"one", b"two")]

    async def check() -> None:
        with pytest.raises(TreeIncomplete):
            await store.put.receive(stream(chunks(members[0], (digest, data))))
        assert not await store.holds(digest)
        await store.put.receive(stream(chunks(members[1], (digest, data))))
        assert await store.holds(digest)

    asyncio.run(check())


def test_a_chunk_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    store, body = Store(tmp_path), b"x" * (1024 * 1024 + 1)

    with pytest.raises(TooMany):
        asyncio.run(store.put.receive(stream([Chunk(digest_content(body), 0, body)])))


def test_a_second_content_under_one_md5_is_refused(tmp_path: Path) -> None:
    store, source = Store(tmp_path), tmp_path / "file"
    source.write_bytes(b"content")
    digest = digest_content(b"content")
    known = BlobRecord(hash=digest.hash, size_bytes=7, sha256="0" * 64)

    async def check() -> None:
        await store.index.add([known])
        blob = LocalBlob(digest=digest, sha256=hashlib.sha256(b"content").hexdigest(), source=source)
        with pytest.raises(HashCollision):
            await store.put.put_files([blob])

    asyncio.run(check())


def test_what_a_laptop_pushed_is_stored_again_by_a_stage_that_makes_it(tmp_path: Path) -> None:
    store, source = Store(tmp_path), tmp_path / "file"
    source.write_bytes(b"content")
    digest, sha256 = digest_content(b"content"), hashlib.sha256(b"content").hexdigest()

    async def check() -> None:
        await store.objects.put(object_key(digest.hash), b"damaged")
        await store.index.add([BlobRecord(hash=digest.hash, size_bytes=7, sha256=None)])
        await store.put.put_files([LocalBlob(digest=digest, sha256=sha256, source=source)])
        assert await store.body(digest) == b"content"
        assert store.index.records[digest.hash].sha256 == sha256

    asyncio.run(check())
