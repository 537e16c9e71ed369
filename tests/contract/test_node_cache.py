"""The node's own copy of blobs."""

import asyncio
import os
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.domain.blob import BlobHash, hash_content, object_key
from wherry.service.domain.errors import BlobMissing, DigestMalformed, StoreUnavailable, TooMany
from wherry.service.domain.tree import Tree, TreeEntry

_T = TypeVar("_T")

CONTENT = b"some content\n"
HASH = hash_content(CONTENT)
DEADLINE_S = 60


class CountingStore(FakeObjectStore):
    """Counts what is fetched, and lets a test hold fetches back."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.at_once = 0
        self.at_once_max = 0
        self.gate: asyncio.Event | None = None

    async def get_file(self, key: str, target: Path) -> bool:
        self.fetched.append(key)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            return await super().get_file(key, target)
        finally:
            self.at_once -= 1


@pytest.fixture
def store() -> CountingStore:
    store = CountingStore()
    store.objects[object_key(HASH)] = CONTENT
    return store


def with_cache(
    root: Path, store: CountingStore, action: Callable[[LocalNodeCache], Coroutine[Any, Any, _T]]
) -> _T:
    async def run() -> _T:
        cache = LocalNodeCache(root, store=store, downloads_max=4)
        try:
            return await action(cache)
        finally:
            cache.close()

    return asyncio.run(run())


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110 - what it waits for is not known to be an event
            await asyncio.sleep(0.01)


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_blob_is_fetched_once_and_lies_read_only_where_dvc_would_have_it(
    tmp_path: Path, store: CountingStore
) -> None:
    async def check(cache: LocalNodeCache) -> None:
        path = await cache.path(HASH)
        assert path == tmp_path / "files" / "md5" / HASH[:2] / HASH[2:]
        assert path.read_bytes() == CONTENT
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
        assert await cache.path(HASH) == path
        assert await cache.read(HASH, limit_bytes=len(CONTENT)) == CONTENT

    with_cache(tmp_path, store, check)
    with_cache(tmp_path, store, lambda cache: cache.path(HASH))
    assert store.fetched == [object_key(HASH)]


def test_many_who_ask_at_once_share_one_download(tmp_path: Path, store: CountingStore) -> None:
    async def check(cache: LocalNodeCache) -> None:
        store.gate = asyncio.Event()
        asking = [asyncio.create_task(cache.path(HASH)) for _ in range(20)]
        await asyncio.sleep(0)
        asking[0].cancel()  # one who leaves does not take the others along
        store.gate.set()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError)
        assert len(set(ended[1:])) == 1

    with_cache(tmp_path, store, check)
    assert store.fetched == [object_key(HASH)]


def test_a_download_that_nobody_waits_for_is_stopped_and_leaves_nothing(
    tmp_path: Path, store: CountingStore
) -> None:
    async def check(cache: LocalNodeCache) -> None:
        store.gate = asyncio.Event()
        asking = [asyncio.create_task(cache.path(HASH)) for _ in range(3)]
        await until(lambda: store.at_once == 1)
        for one in asking:
            one.cancel()
        await asyncio.wait(asking)
        await until(lambda: store.at_once == 0)
        assert files_below(tmp_path) == []
        # Who comes while the last has hardly gone begins anew.
        store.gate.set()
        assert (await cache.path(HASH)).read_bytes() == CONTENT

    with_cache(tmp_path, store, check)
    assert len(store.fetched) == 2


def test_a_folder_that_nobody_waits_for_is_not_made(tmp_path: Path, store: CountingStore) -> None:
    tree = Tree.of([TreeEntry("a", HASH)]).to_bytes()
    name = BlobHash(f"{hash_content(tree)}.dir")
    store.objects[object_key(name)] = tree

    async def check(cache: LocalNodeCache) -> None:
        with cache.lease() as first, cache.lease() as second:
            store.gate = asyncio.Event()
            leaving = asyncio.create_task(first.tree_folder(name, files_min=1))
            await until(lambda: store.at_once == 1)
            staying = asyncio.create_task(second.tree_folder(name, files_min=1))
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.wait([leaving])
            store.gate.set()
            assert await staying == await second.tree_folder(name, files_min=1)

    with_cache(tmp_path, store, check)
    assert len(store.fetched) == 2


def test_downloads_at_once_are_bounded(tmp_path: Path, store: CountingStore) -> None:
    hashes = []
    for number in range(50):
        content = f"content {number}".encode()
        hashes.append(hash_content(content))
        store.objects[object_key(hashes[-1])] = content

    async def check(cache: LocalNodeCache) -> None:
        store.gate = asyncio.Event()
        asking = asyncio.gather(*map(cache.path, hashes))
        await until(lambda: store.at_once == 4)
        store.gate.set()
        await asking

    with_cache(tmp_path, store, check)
    assert len(store.fetched) == 50
    assert store.at_once_max == 4


def test_content_that_does_not_match_its_name_is_not_kept(tmp_path: Path, store: CountingStore) -> None:
    store.objects[object_key(HASH)] = b"other content"

    async def check(cache: LocalNodeCache) -> None:
        with pytest.raises(BlobMissing, match="damaged"):
            await cache.path(HASH)
        assert files_below(tmp_path) == []
        store.objects[object_key(HASH)] = CONTENT
        assert (await cache.path(HASH)).read_bytes() == CONTENT

    with_cache(tmp_path, store, check)


def test_a_blob_that_the_store_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(BlobMissing, match=HASH):
        with_cache(tmp_path, CountingStore(), lambda cache: cache.path(HASH))
    assert files_below(tmp_path) == []


def test_a_store_that_is_down_is_told_and_tried_again(tmp_path: Path, store: CountingStore) -> None:
    async def check(cache: LocalNodeCache) -> None:
        store.is_down = True
        with pytest.raises(StoreUnavailable):
            await cache.path(HASH)
        store.is_down = False
        await cache.path(HASH)

    with_cache(tmp_path, store, check)


def test_a_tree_is_checked_by_the_hash_of_its_list(tmp_path: Path, store: CountingStore) -> None:
    tree = Tree.of([TreeEntry("a", HASH)])
    name = tree.digest().hash
    store.objects[object_key(name)] = tree.to_bytes()
    read = with_cache(tmp_path, store, lambda cache: cache.read(name, limit_bytes=1000))
    assert read == tree.to_bytes()


def test_reading_more_than_the_limit_is_refused(tmp_path: Path, store: CountingStore) -> None:
    with pytest.raises(TooMany, match=HASH):
        with_cache(tmp_path, store, lambda cache: cache.read(HASH, limit_bytes=len(CONTENT) - 1))


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "AB" * 16, "ab" * 16 + "/x"])
def test_only_hashes_name_files(tmp_path: Path, store: CountingStore, name: str) -> None:
    with pytest.raises(DigestMalformed):
        with_cache(tmp_path, store, lambda cache: cache.path(name))
    assert store.fetched == []


def test_an_adopted_file_is_not_copied_and_belongs_to_the_service_alone(tmp_path: Path) -> None:
    source = tmp_path / "output"
    source.write_bytes(CONTENT)
    source.chmod(0o666)
    if os.geteuid() == 0:
        os.chown(source, 10001, 10001)

    async def check(cache: LocalNodeCache) -> None:
        await cache.adopt(HASH, source)
        await cache.adopt(HASH, source)
        kept = (await cache.path(HASH)).stat()
        assert kept.st_ino == source.stat().st_ino
        assert (stat.S_IMODE(kept.st_mode), kept.st_uid) == (0o444, os.geteuid())

    with_cache(tmp_path / "cache", CountingStore(), check)


def test_a_link_is_never_adopted(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    (tmp_path / "output").symlink_to("secret")
    with pytest.raises(ValueError, match="not a regular file"):
        with_cache(tmp_path / "cache", CountingStore(), lambda cache: cache.adopt(HASH, tmp_path / "output"))
    assert files_below(tmp_path / "cache") == []


def test_what_a_crash_left_is_repaired(tmp_path: Path, store: CountingStore) -> None:
    path = with_cache(tmp_path, store, lambda cache: cache.path(HASH))
    path.chmod(0o644)
    path.write_bytes(b"")  # as after a loss of power: the name is there, the content is not
    (tmp_path / "incoming" / "half").write_bytes(b"so")
    assert with_cache(tmp_path, store, lambda cache: cache.read(HASH, limit_bytes=100)) == CONTENT
    assert files_below(tmp_path) == [f"files/md5/{HASH[:2]}/{HASH[2:]}"]


def test_an_empty_blob_is_a_blob(tmp_path: Path, store: CountingStore) -> None:
    empty = BlobHash("d41d8cd98f00b204e9800998ecf8427e")
    store.objects[object_key(empty)] = b""

    async def check(cache: LocalNodeCache) -> None:
        assert (await cache.path(empty)).read_bytes() == b""
        await cache.path(empty)

    with_cache(tmp_path, store, check)
    assert len(store.fetched) == 1
