"""What a store must be able to do, tried on the real one and on stores that lack something."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.adapters.store_probe_s3 import S3StoreProbe
from wherry.service.domain.findings import Finding, FindingState
from wherry.service.usecases.check_store import CheckStore


@pytest.fixture
def probe(s3_settings: S3Settings, object_store: S3ObjectStore) -> Iterator[S3StoreProbe]:
    probe = S3StoreProbe(s3_settings)
    yield probe
    probe.close()


def check(probe: S3StoreProbe) -> dict[str, Finding]:
    return {finding.name: finding for finding in asyncio.run(CheckStore(probe, random.Random(1))())}


def test_the_real_store_can_do_everything_and_nothing_is_left_in_it(
    probe: S3StoreProbe, object_store: S3ObjectStore
) -> None:
    asyncio.run(object_store.put("wherry/other", b"not ours to remove"))
    assert {name: found.state for name, found in check(probe).items()} == {
        f"store.{name}": FindingState.OK
        for name in (
            "put",
            "list",
            "ranges",
            "multipart",
            "delete",
            "md5",
            "signed",
            "signed_md5",
            "only_new",
            "only_new_copy",
        )
    }
    assert asyncio.run(object_store.list_keys("")) == ["wherry/other"]


class Forgetful(S3StoreProbe):
    """A store that knows neither Content-MD5 nor If-None-Match, and gives whole objects."""

    async def put(self, key: str, data: bytes, *, md5: str | None = None, only_new: bool = False) -> bool:
        return await super().put(key, data)

    async def get_range(self, key: str, first: int, last: int) -> bytes:
        return await self.get(key) or b""


def test_what_a_store_lacks_is_named_with_what_it_means(
    s3_settings: S3Settings, object_store: S3ObjectStore
) -> None:
    probe = Forgetful(s3_settings)
    found = check(probe)
    probe.close()
    assert {name for name, one in found.items() if one.state is FindingState.WARNING} == {
        "store.md5",
        "store.only_new",
    }
    assert {name for name, one in found.items() if one.state is FindingState.FAILED} == {"store.ranges"}
    assert all(one.hint for one in found.values() if one.state is not FindingState.OK)
    assert asyncio.run(object_store.list_keys("")) == []


def with_changed(settings: S3Settings, **changed: object) -> S3StoreProbe:
    values = {name: getattr(settings, name) for name in S3Settings.__slots__}
    return S3StoreProbe(S3Settings(**(values | changed)))


@pytest.mark.parametrize("changed", [{"secret_key": "wrong"}, {"access_key": "nobody"}])
def test_a_store_that_does_not_let_us_fails_with_the_reason(
    s3_settings: S3Settings, object_store: S3ObjectStore, changed: dict[str, object]
) -> None:
    probe = with_changed(s3_settings, **changed)
    found = check(probe)
    probe.close()
    assert found["store.put"].state is FindingState.FAILED
    assert "refused" in found["store.put"].message
    assert found["store.put"].hint


def test_nobody_there_fails_with_the_reason(s3_settings: S3Settings, unused_port: int) -> None:
    probe = with_changed(s3_settings, endpoint_url=f"http://127.0.0.1:{unused_port}", attempts=1)
    found = check(probe)
    probe.close()
    assert list(found) == ["store.put"]
    assert found["store.put"].state is FindingState.FAILED
    assert str(unused_port) in found["store.put"].message
