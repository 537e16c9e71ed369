"""Data that DVC 2 pushed is taken over under the hash of its content, and only when it is what its name says."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.domain.blob import BlobHash, hash_content, legacy_object_key, object_key
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.put_blobs import PutBlobs

_WINDOWS, _PLAIN = b"one\r\ntwo\r\n", b"plain\n"


class _Bucket:
    """A bucket as DVC 2 left it."""

    def __init__(self, folder: Path) -> None:
        self.objects, self.index = FakeObjectStore(), FakeBlobIndex()
        self.node = LocalNodeCache(folder / "node", store=self.objects)
        put = PutBlobs(objects=self.objects, index=self.index, node=self.node, spool=folder)
        self.adopt = AdoptLegacy(objects=self.objects, index=self.index, put=put, spool=folder)

    async def push(self, content: bytes, name: str | None = None) -> BlobHash:
        called = BlobHash(name or hash_content(content.replace(b"\r\n", b"\n")))
        await self.objects.put(legacy_object_key(called), content)
        return called

    async def push_folder(self, files: dict[str, BlobHash]) -> BlobHash:
        listed = json.dumps([{"md5": files[path], "relpath": path} for path in sorted(files)]).encode()
        return await self.push(listed, f"{hashlib.md5(listed).hexdigest()}.dir")


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[_Bucket]:
    made = _Bucket(tmp_path)
    yield made
    made.node.close()


def test_a_file_is_held_under_the_hash_of_its_content(bucket: _Bucket) -> None:
    async def ask() -> None:
        windows, plain = await bucket.push(_WINDOWS), await bucket.push(_PLAIN)

        found = await bucket.adopt([windows, plain, BlobHash("0" * 32)])

        assert found == {windows: hash_content(_WINDOWS), plain: hash_content(_PLAIN)}
        assert windows != found[windows]
        assert not await bucket.index.find_missing(set(found.values()))
        assert await bucket.objects.get(object_key(found[windows])) == _WINDOWS

    asyncio.run(ask())


def test_a_folder_is_held_with_all_its_files(bucket: _Bucket) -> None:
    async def ask() -> None:
        files = {"a": await bucket.push(_WINDOWS), "deep/b": await bucket.push(_PLAIN)}
        name = await bucket.push_folder(files)

        found = await bucket.adopt([name])

        tree = await bucket.objects.get(object_key(found[name]))
        assert tree is not None
        assert json.loads(tree) == [
            {"md5": hash_content(_WINDOWS), "relpath": "a"},
            {"md5": hash_content(_PLAIN), "relpath": "deep/b"},
        ]
        assert not await bucket.index.find_missing(set(found.values()))

    asyncio.run(ask())


def test_what_is_not_what_its_name_says_is_not_taken(bucket: _Bucket) -> None:
    async def ask() -> None:
        wrong = await bucket.push(b"other\n", "1" * 32)
        missing = await bucket.push_folder({"a": await bucket.push(_PLAIN), "b": BlobHash("2" * 32)})
        with_wrong = await bucket.push_folder({"a": wrong})
        no_tree = await bucket.push(b"[]\n", "3" * 32 + ".dir")

        assert await bucket.adopt([wrong, missing, with_wrong, no_tree]) == {}

    asyncio.run(ask())


def test_what_is_known_is_not_read_again(bucket: _Bucket) -> None:
    async def ask() -> None:
        name = await bucket.push(_WINDOWS)
        first = await bucket.adopt([name])
        await bucket.objects.delete(legacy_object_key(name))

        assert await bucket.adopt([name]) == first
        await bucket.index.remove(set(first.values()))
        assert await bucket.adopt([name]) == {}

    asyncio.run(ask())
