import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.objects_http import HttpObjectStore
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.domain.errors import BlobMismatch, StoreUnavailable
from wherry.service.ports.objects import ObjectStore

T = TypeVar("T")


@pytest.fixture
def http_store(object_store: S3ObjectStore, s3_settings: S3Settings) -> Iterator[ObjectStore]:
    store = HttpObjectStore.connect(s3_settings)
    with _InOneLoop(store) as bound:
        yield bound
        asyncio.run(bound.close())


class _InOneLoop:
    """A store whose connections live in one event loop, for tests that run each call in one of its own."""

    def __init__(self, store: HttpObjectStore) -> None:
        self._real = store
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            coroutine = getattr(self._real, name)(*args, **kwargs)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

        return call


@pytest.fixture(params=["fake", "s3", "http"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "fake":
        return FakeObjectStore()
    if request.param == "http":
        quick: ObjectStore = request.getfixturevalue("http_store")
        return quick
    real = request.getfixturevalue("object_store")
    assert isinstance(real, S3ObjectStore)
    return real


def md5_of(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def test_what_was_put_is_got(store: ObjectStore) -> None:
    asyncio.run(store.put("files/md5/ab/cd", b"content", md5=md5_of(b"content")))
    assert asyncio.run(store.get("files/md5/ab/cd")) == b"content"


def test_an_absent_object_is_none(store: ObjectStore) -> None:
    assert asyncio.run(store.get("files/md5/ab/absent")) is None


def test_an_empty_object_is_not_an_absent_one(store: ObjectStore) -> None:
    asyncio.run(store.put("empty", b"", md5=md5_of(b"")))
    assert asyncio.run(store.get("empty")) == b""


def test_a_part_of_an_object_is_got(store: ObjectStore) -> None:
    asyncio.run(store.put("key", b"0123456789"))
    assert asyncio.run(store.get_range("key", 0, 1)) == b"0"
    assert asyncio.run(store.get_range("key", 3, 4)) == b"3456"
    assert asyncio.run(store.get_range("key", 8, 100)) == b"89"
    assert asyncio.run(store.get_range("key", 100, 5)) == b""
    assert asyncio.run(store.get_range("absent", 0, 1)) is None


def test_a_second_put_replaces_the_first(store: ObjectStore) -> None:
    asyncio.run(store.put("key", b"first"))
    asyncio.run(store.put("key", b"second"))
    assert asyncio.run(store.get("key")) == b"second"


def test_of_many_who_put_something_new_at_once_one_does(store: ObjectStore, tmp_path: Path) -> None:
    contents = [f"content {number}".encode() * 1000 for number in range(8)]

    async def put_all(key: str) -> list[bool]:
        calls = [store.put_new(key, content, md5=md5_of(content)) for content in contents]
        return await asyncio.gather(*calls)

    for key in ("one", "two"):
        done = asyncio.run(put_all(key))
        assert sum(done) == 1
        assert asyncio.run(store.get(key)) == contents[done.index(True)]
    (tmp_path / "file").write_bytes(b"file")
    assert not asyncio.run(store.put_file_new("one", tmp_path / "file", md5=md5_of(b"file")))
    assert asyncio.run(store.put_file_new("four", tmp_path / "file", md5=md5_of(b"file")))


def test_a_copy_is_made_in_the_store_and_stays_when_its_source_goes(store: ObjectStore) -> None:
    asyncio.run(store.put("files/md5/ab/source", b"content"))
    asyncio.run(store.put("ab/target", b"other"))
    asyncio.run(store.copy("files/md5/ab/source", "ab/target"))
    asyncio.run(store.delete("files/md5/ab/source"))
    assert asyncio.run(store.get("ab/target")) == b"content"


def test_what_is_absent_cannot_be_copied(store: ObjectStore) -> None:
    with pytest.raises(StoreUnavailable):
        asyncio.run(store.copy("files/md5/ab/absent", "ab/target"))
    assert asyncio.run(store.get("ab/target")) is None


def test_the_store_refuses_a_body_that_does_not_have_its_md5(store: ObjectStore) -> None:
    with pytest.raises(BlobMismatch):
        asyncio.run(store.put("key", b"content", md5=md5_of(b"other")))
    assert asyncio.run(store.get("key")) is None


def test_a_file_makes_the_round_trip(store: ObjectStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000  # more than one chunk
    (tmp_path / "source").write_bytes(data)
    asyncio.run(store.put_file("file", tmp_path / "source", md5=md5_of(data)))
    assert asyncio.run(store.get_file("file", tmp_path / "target")) is True
    assert (tmp_path / "target").read_bytes() == data


def test_the_store_refuses_a_file_that_does_not_have_its_md5(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    with pytest.raises(BlobMismatch):
        asyncio.run(store.put_file("file", tmp_path / "source", md5=md5_of(b"other")))
    assert asyncio.run(store.get("file")) is None


def test_getting_an_absent_object_makes_no_file(store: ObjectStore, tmp_path: Path) -> None:
    assert asyncio.run(store.get_file("absent", tmp_path / "target")) is False
    assert list(tmp_path.iterdir()) == []


def test_keys_are_listed_sorted_by_their_beginning_however_many(store: ObjectStore) -> None:
    async def fill() -> None:
        await asyncio.gather(
            *(store.put(f"many/{number:05}", b"") for number in range(1_100)), store.put("manyother", b"")
        )

    asyncio.run(fill())
    assert asyncio.run(store.list_keys("many/")) == [f"many/{number:05}" for number in range(1_100)]
    assert asyncio.run(store.list_keys("many/0109")) == [
        f"many/{number:05}" for number in range(1_090, 1_100)
    ]
    assert asyncio.run(store.list_keys("none/")) == []


def test_a_listing_can_begin_and_stop_anywhere(store: ObjectStore) -> None:
    keys = [
        f"files/md5/{folder}/{name}" for folder in ("0a", "0b", "ff") for name in ("1", "2", "2.dir", "3")
    ]

    async def fill() -> None:
        for key in [*keys, "files/other", "runs/0a/x"]:
            await store.put(key, key.encode())

    def listed(after: str, limit: int) -> tuple[list[str], bool]:
        page = asyncio.run(store.list_page("files/md5/", after=after, limit=limit))
        assert [found.size_bytes for found in page.objects] == [len(found.key) for found in page.objects]
        return [found.key for found in page.objects], page.is_last

    asyncio.run(fill())
    assert listed("", 1000) == (keys, True)
    assert listed("files/md5/0a/2", 3) == (keys[2:5], False)
    assert listed("files/md5/0a/1~", 1) == (keys[1:2], False)
    assert listed("files/md5/0c/", 4) == (keys[8:], True)
    assert listed("files/md5/ff/3", 4) == ([], True)
    assert listed("zzz", 4) == ([], True)


def test_a_listing_says_which_object_is_newer(store: ObjectStore) -> None:
    async def put_apart() -> None:
        await store.put("runs/b", b"1")
        while True:
            await store.put("runs/a", b"2")
            page = await store.list_page("runs/", limit=10)
            newer, older = (listed.modified_at for listed in page.objects)
            assert newer >= older
            if newer > older:
                return

    asyncio.run(asyncio.wait_for(put_apart(), 60))


def test_a_deleted_object_is_gone_and_deleting_again_is_harmless(store: ObjectStore) -> None:
    asyncio.run(store.put("key", b"content"))
    asyncio.run(store.delete("key"))
    asyncio.run(store.delete("key"))
    assert asyncio.run(store.get("key")) is None
    assert asyncio.run(store.list_keys("")) == []


# What follows is about S3 alone.


def large_file(folder: Path) -> Path:
    """Just above the size from which files travel in parts, cheaply made."""
    path = folder / "large"
    block = bytes(range(256)) * 4096
    with path.open("wb") as file:
        for number in range(65):
            file.write(number.to_bytes(8) + block[8:])
        file.write(b"end")
    return path


def test_a_large_file_travels_in_parts_and_arrives_whole(object_store: S3ObjectStore, tmp_path: Path) -> None:
    source = large_file(tmp_path)
    md5 = md5_of(source.read_bytes())
    asyncio.run(object_store.put_file("large", source, md5=md5))
    assert asyncio.run(object_store.get_file("large", tmp_path / "target"))
    assert md5_of((tmp_path / "target").read_bytes()) == md5


def test_a_large_file_with_another_md5_never_becomes_an_object(
    object_store: S3ObjectStore, tmp_path: Path
) -> None:
    with pytest.raises(BlobMismatch):
        asyncio.run(object_store.put_file("large", large_file(tmp_path), md5=md5_of(b"other")))
    assert asyncio.run(object_store.list_keys("")) == []


def test_stores_with_different_prefixes_do_not_see_each_other(
    object_store: S3ObjectStore, s3_settings: S3Settings
) -> None:
    below = S3Settings(
        bucket=s3_settings.bucket,
        prefix=f"{s3_settings.prefix}/team",
        endpoint_url=s3_settings.endpoint_url,
        access_key=s3_settings.access_key,
        secret_key=s3_settings.secret_key,
    )
    team = S3ObjectStore.connect(below)
    asyncio.run(team.put("key", b"team"))
    assert asyncio.run(team.list_keys("")) == ["key"]
    assert asyncio.run(object_store.list_keys("")) == ["team/key"]
    asyncio.run(team.close())


def test_a_store_that_does_not_answer_is_said_to_be_unavailable(unused_port: int) -> None:
    store = S3ObjectStore.connect(
        S3Settings(
            bucket="bucket",
            endpoint_url=f"http://127.0.0.1:{unused_port}",
            access_key="some-access-key",
            secret_key="some-secret-key",
            attempts=2,
        )
    )
    with pytest.raises(StoreUnavailable) as caught:
        asyncio.run(store.get("key"))
    assert caught.value.hint
    asyncio.run(store.close())


def test_wrong_keys_are_reported_without_repeating_them(s3_settings: S3Settings) -> None:
    wrong = S3Settings(
        bucket=s3_settings.bucket,
        endpoint_url=s3_settings.endpoint_url,
        access_key=s3_settings.access_key,
        secret_key="certainly-not-the-secret",
    )
    store = S3ObjectStore.connect(wrong)
    with pytest.raises(StoreUnavailable) as caught:
        asyncio.run(store.put("key", b"content"))
    said = f"{caught.value} {caught.value.hint} {caught.value.__cause__} {wrong!r} {store!r}"
    assert "keys" in caught.value.hint
    assert "certainly-not-the-secret" not in said
    asyncio.run(store.close())


def test_a_bucket_that_is_not_there_is_named_as_the_reason(s3_settings: S3Settings) -> None:
    store = S3ObjectStore.connect(
        S3Settings(
            bucket="no-such-bucket",
            endpoint_url=s3_settings.endpoint_url,
            access_key=s3_settings.access_key,
            secret_key=s3_settings.secret_key,
        )
    )
    with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
        asyncio.run(store.list_keys(""))
    asyncio.run(store.ensure_bucket())
    asyncio.run(store.ensure_bucket())
    assert asyncio.run(store.list_keys("")) == []
    asyncio.run(store.close())


def test_what_is_refused_is_told_in_the_words_of_the_store(s3_settings: S3Settings) -> None:
    wrong = replace(s3_settings, secret_key="not the secret")

    async def ask() -> None:
        store = HttpObjectStore.connect(wrong)
        try:
            await store.put("key", b"content")
        finally:
            await store.close()

    with pytest.raises(StoreUnavailable, match="SignatureDoesNotMatch") as caught:
        asyncio.run(ask())
    assert "not the secret" not in str(caught.value)


ODD_KEYS = ["with space", "plus+and&ampersand", "ünïcödé/ключ", "per%20cent", "tilde~and'quote(1)!*"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_can_be_put_and_got(store: ObjectStore, key: str) -> None:
    assert asyncio.run(store.put_new(key, b"content", md5=md5_of(b"content")))
    assert asyncio.run(store.get(key)) == b"content"
    assert asyncio.run(store.list_keys("")) == [key]


def test_small_objects_do_not_need_boto3(
    s3_settings: S3Settings, object_store: S3ObjectStore, tmp_path: Path
) -> None:
    """All that small objects need is answered by the server itself, or this would be as slow as boto3."""

    class WithoutBoto3(HttpObjectStore):
        async def _run(self, call: Callable[[], T]) -> T:
            raise AssertionError("boto3 was asked")

    async def use() -> None:
        store = WithoutBoto3.connect(s3_settings)
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(b"from a file")
        try:
            await store.put("one", b"first")
            assert await store.put_new("two", b"second", md5=md5_of(b"second"))
            assert not await store.put_new("two", b"second", md5=md5_of(b"second"))
            assert await store.put_file_new("three", source, md5=md5_of(b"from a file"))
            assert [await store.get(key) for key in ("one", "two", "none")] == [b"first", b"second", None]
            assert await store.get_file("three", target)
            assert target.read_bytes() == b"from a file"
            assert not await store.get_file("none", tmp_path / "absent")
        finally:
            await store.close()

    asyncio.run(use())
    assert not (tmp_path / "absent").exists()


def test_many_objects_at_once_are_each_what_they_were(
    s3_settings: S3Settings, object_store: S3ObjectStore
) -> None:
    contents = {f"many/{number}": f"content {number}".encode() * (number + 1) for number in range(200)}

    async def use() -> dict[str, bytes | None]:
        store = HttpObjectStore.connect(s3_settings)
        try:
            await asyncio.gather(*(store.put(key, data, md5=md5_of(data)) for key, data in contents.items()))
            got = await asyncio.gather(*(store.get(key) for key in contents))
        finally:
            await store.close()
        return dict(zip(contents, got, strict=True))

    assert asyncio.run(use()) == contents
