"""What becomes of calls when the store fails in the middle: tried again where it helps, else said; never a wrong result."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.domain.blob import hash_content, object_key
from wherry.service.domain.errors import BlobMissing, StoreUnavailable

ATTEMPTS = 3
MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 4 * 4096
HASH = hash_content(CONTENT)
KEY = object_key(HASH)


@pytest.fixture
def proxy(s3_settings: S3Settings, object_store: S3ObjectStore) -> Iterator[FaultProxy]:
    asyncio.run(object_store.put(KEY, CONTENT))
    with fault_proxy(s3_settings.endpoint_url or "") as proxy:
        yield proxy


@pytest.fixture
def store(proxy: FaultProxy, s3_settings: S3Settings) -> Iterator[S3ObjectStore]:
    """The store as seen through the proxy."""
    settings = replace(s3_settings, endpoint_url=proxy.url, attempts=ATTEMPTS)
    store = S3ObjectStore.connect(settings)
    yield store
    asyncio.run(store.close())


Call = Callable[[S3ObjectStore], Coroutine[Any, Any, object]]
CALLS: dict[str, Call] = {
    "put": lambda store: store.put("other", b"x", md5=hash_content(b"x")),
    "get": lambda store: store.get(KEY),
    "list": lambda store: store.list_keys("files/"),
    "delete": lambda store: store.delete("other"),
}
RESULTS = {"put": None, "get": CONTENT, "list": [KEY], "delete": None}


TRANSIENT = [Fault(status=500), Fault(status=503, code="SlowDown"), Fault(drop=True)]


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_fault_that_passes_is_not_noticed(store: S3ObjectStore, proxy: FaultProxy, fault: Fault) -> None:
    for name, call in CALLS.items():
        proxy.requests.clear()
        proxy.faults.extend([fault] * (ATTEMPTS - 1))
        assert asyncio.run(call(store)) == RESULTS[name]
        assert len(proxy.requests) == ATTEMPTS


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_fault_that_stays_is_told_after_a_bounded_number_of_attempts(
    store: S3ObjectStore, proxy: FaultProxy, fault: Fault
) -> None:
    proxy.always.append(fault)
    for call in CALLS.values():
        proxy.requests.clear()
        with pytest.raises(StoreUnavailable) as caught:
            asyncio.run(call(store))
        assert caught.value.hint
        # A download begins again by itself as well, when no answer came.
        assert ATTEMPTS <= len(proxy.requests) <= ATTEMPTS * ATTEMPTS


def test_a_refusal_is_told_at_once(store: S3ObjectStore, proxy: FaultProxy) -> None:
    proxy.always.append(Fault(status=403, code="AccessDenied"))
    for call in CALLS.values():
        proxy.requests.clear()
        with pytest.raises(StoreUnavailable, match="AccessDenied") as caught:
            asyncio.run(call(store))
        assert "keys" in caught.value.hint
        assert len(proxy.requests) == 1


def test_an_answer_that_stays_away_is_asked_for_again(proxy: FaultProxy, s3_settings: S3Settings) -> None:
    # So short that a loaded machine may miss it as well: hence many attempts.
    settings = replace(s3_settings, endpoint_url=proxy.url, attempts=8, silence_s=0.5)
    store = S3ObjectStore.connect(settings)
    for name, call in CALLS.items():
        proxy.requests.clear()
        proxy.faults.append(Fault(hang=True))
        assert asyncio.run(call(store)) == RESULTS[name]
        assert len(proxy.requests) > 1
    asyncio.run(store.close())


def test_an_answer_that_breaks_off_goes_on_where_it_was(
    store: S3ObjectStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.faults.extend([Fault(method="GET", cut_after=3 * MIB), Fault(method="GET", cut_after=100)])
    large = os.urandom(5 * MIB)
    asyncio.run(store.put("large", large))
    assert asyncio.run(store.get_file("large", tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == large
    assert proxy.body_bytes < 2 * len(large)


def test_an_answer_that_always_breaks_off_is_told_and_leaves_nothing(
    store: S3ObjectStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.always.append(Fault(method="GET", cut_after=0))
    with pytest.raises(StoreUnavailable):
        asyncio.run(store.get_file(KEY, tmp_path / "target"))
    with pytest.raises(StoreUnavailable):
        asyncio.run(store.get(KEY))
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_cancelled_ends_and_leaves_nothing(
    store: S3ObjectStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.always.append(Fault(method="GET", pause_after=2 * MIB))

    def left() -> list[Path]:
        return list(tmp_path.iterdir())

    def has_begun() -> bool:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if any(path.stat().st_size for path in left()):
                return True
            time.sleep(0.01)
        return False

    async def begin_and_leave() -> None:
        download = asyncio.create_task(store.get_file(KEY, tmp_path / "target"))
        assert await asyncio.to_thread(has_begun)
        download.cancel()
        await asyncio.sleep(0)
        proxy.resumed.set()
        await asyncio.wait([download], timeout=30)
        assert download.cancelled()
        assert left() == []

    asyncio.run(begin_and_leave())


def test_an_object_that_goes_in_the_middle_is_not_there(
    store: S3ObjectStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    missing = Fault(method="GET", status=404, code="NoSuchKey")
    proxy.faults.extend([Fault(method="GET", cut_after=2 * MIB), missing])
    assert asyncio.run(store.get_file(KEY, tmp_path / "target")) is False
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_replaced_in_the_middle_comes_whole(
    store: S3ObjectStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    changed = Fault(method="GET", status=412, code="PreconditionFailed")
    proxy.faults.extend([Fault(method="GET", cut_after=2 * MIB), changed])
    assert asyncio.run(store.get_file(KEY, tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_wrong_bytes_never_reach_a_stage(store: S3ObjectStore, proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.faults.append(Fault(method="GET", garble=True))

    async def use() -> bytes:
        cache = LocalNodeCache(tmp_path, store=store)
        try:
            with pytest.raises(BlobMissing, match="damaged"):
                await cache.path(HASH)
            return await cache.read(HASH, limit_bytes=len(CONTENT))
        finally:
            cache.close()

    assert asyncio.run(use()) == CONTENT


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    with path.open("wb") as file:
        for number in range(65):
            file.write(number.to_bytes(8) * (MIB // 8))
    return path


def test_faults_in_the_middle_of_a_large_upload_are_not_noticed(
    store: S3ObjectStore, object_store: S3ObjectStore, proxy: FaultProxy, large: Path
) -> None:
    content = large.read_bytes()
    proxy.faults.extend(
        [
            Fault(method="PUT", mark="partNumber=1", drop_answer=True),
            Fault(method="PUT", mark="partNumber=2", status=500),
            Fault(method="PUT", mark="partNumber=3", drop=True),
            Fault(method="POST", mark="uploadId", status=503, code="SlowDown"),
            Fault(method="POST", mark="uploadId", drop_answer=True),
        ]
    )
    asyncio.run(store.put_file("large", large, md5=hash_content(content)))
    assert not proxy.faults
    assert asyncio.run(object_store.get("large")) == content


def test_a_large_upload_that_fails_leaves_no_object(
    store: S3ObjectStore, object_store: S3ObjectStore, proxy: FaultProxy, large: Path
) -> None:
    proxy.always.append(Fault(method="PUT", mark="partNumber=3", status=500))
    with pytest.raises(StoreUnavailable):
        asyncio.run(store.put_file("large", large, md5=hash_content(large.read_bytes())))
    assert any(request.startswith("DELETE") for request in proxy.requests)
    assert asyncio.run(object_store.list_keys("large")) == []
