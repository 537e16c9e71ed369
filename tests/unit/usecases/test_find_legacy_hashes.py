"""Hashes of DVC 2 of what the store holds."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.pack_index import FakePackIndex
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.domain.blob import BlobHash, object_key
from wherry.service.domain.limits import LEGACY_HASH_BYTES_MAX
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs

_WINDOWS, _LATIN = b"a\r\nb\r\n", b"\xe9\xe9\r\n" * 200


def _plain(content: bytes) -> str:
    return hashlib.md5(content.replace(b"\r\n", b"\n")).hexdigest()


class House:
    """A store, and who asks it."""

    def __init__(self, tmp_path: Path) -> None:
        self.index, self.objects = FakeBlobIndex(), FakeObjectStore()
        self.node = LocalNodeCache(tmp_path / "node", store=self.objects)
        self.put = PutBlobs(objects=self.objects, index=self.index, node=self.node, spool=tmp_path)
        read = ReadBlobs(self.node)
        sources = FindSources(index=self.index, packs=FakePackIndex())
        self.find = FindLegacyHashes(held=sources, read=read, node=self.node)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.node.close()


def test_files_and_folders_are_found_held_or_given(house: House) -> None:
    async def ask() -> None:
        windows, latin = [(await house.put.put_content(content)).hash for content in (_WINDOWS, _LATIN)]
        held = await house.put.put_tree(Tree.of([TreeEntry("x", windows)]).to_bytes())
        given = Tree.of([TreeEntry("x", windows), TreeEntry("y/z", latin)])
        named = given.digest().hash
        # So much of it is no ASCII that DVC takes it for binary.
        old = {windows: BlobHash(_plain(_WINDOWS)), latin: latin}

        assert await house.find([windows, latin, held.hash, named], {named: given}) == {
            **old,
            held.hash: Tree.of([TreeEntry("x", old[windows])]).digest().hash,
            named: Tree.of([TreeEntry("x", old[windows]), TreeEntry("y/z", latin)]).digest().hash,
        }

    asyncio.run(ask())


def test_what_is_not_held_is_left_out(house: House) -> None:
    async def ask() -> None:
        held, absent, lost = (await house.put.put_content(_WINDOWS)).hash, _hash("1"), _hash("2")
        await house.index.add([BlobRecord(hash=lost, size_bytes=1, sha256="")])
        tree = Tree.of([TreeEntry("here", held), TreeEntry("not here", absent)])
        named, unknown = tree.digest().hash, BlobHash(_hash("3") + ".dir")

        found = await house.find([held, absent, lost, named, unknown], {named: tree})

        assert found == {held: _plain(_WINDOWS)}

    asyncio.run(ask())


def test_content_is_read_once(house: House) -> None:
    async def ask() -> None:
        windows = (await house.put.put_content(_WINDOWS)).hash
        first = await house.find([windows], {})
        (await house.node.path(windows)).unlink()
        await house.objects.put(object_key(windows), b"damaged")

        assert await house.find([windows], {}) == first == {windows: _plain(_WINDOWS)}

    asyncio.run(ask())


def test_more_than_is_worth_reading_is_left_out(house: House) -> None:
    async def ask() -> None:
        await house.index.add([BlobRecord(hash=_hash("4"), size_bytes=LEGACY_HASH_BYTES_MAX + 1, sha256="")])

        assert await house.find([_hash("4")], {}) == {}

    asyncio.run(ask())


def _hash(digit: str) -> BlobHash:
    return BlobHash(digit * 32)
