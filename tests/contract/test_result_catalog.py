"""Looking through results and blobs, and what runs were submitted with: the SQL adapters, on both databases."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from tests.fakes.clock import FakeClock
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.database import Database
from wherry.service.adapters.result_catalog_sql import SqlResultCatalog
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.domain.blob import BlobHash
from wherry.service.domain.reads import Reads
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.task import RunId, StrictKey
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.ports.run_cache import Result

T = TypeVar("T")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def wait(call: Awaitable[T]) -> T:
    async def body() -> T:
        return await call

    return asyncio.run(body())


def _result(digit: str, *, minutes: int, user: str = "ana", out: str = "model") -> Result:
    return Result(
        key=StrictKey(digit * 64),
        entry=StageEntry(
            cmd=f"python train.py 100%_{digit}",
            deps=(),
            params={},
            outs=(FileEntry(path=out, hash=BlobHash(digit * 32), size_bytes=3),),
        ),
        run_id=RunId("1"),
        user=user,
        image="sha256:1",
        wall_s=1.0,
        created_at=NOW + timedelta(minutes=minutes),
    )


@pytest.fixture
def catalog(database: Database) -> SqlResultCatalog:
    cache = SqlRunCache(database)
    for digit, minutes, user in (("a", 1, "ana"), ("b", 2, "bob"), ("c", 2, "ana"), ("d", 3, "ana")):
        wait(cache.publish(_result(digit, minutes=minutes, user=user)))
    return SqlResultCatalog(database)


def test_pages_are_newest_first_and_go_on_where_one_ended(catalog: SqlResultCatalog) -> None:
    seen: list[str] = []
    after: tuple[datetime, StrictKey] | None = None
    while page := wait(catalog.list_page(after=after, limit=1)):
        seen += [listed.result.key[0] for listed in page]
        after = (page[-1].result.created_at, page[-1].result.key)
    assert seen == ["d", "b", "c", "a"]
    by_ana = wait(catalog.list_page(user="ana", limit=9))
    assert [listed.result.key[0] for listed in by_ana] == ["d", "c", "a"]
    # What stands for anything in LIKE stands for itself here.
    assert [one.result.key[0] for one in wait(catalog.list_page(match="100%_b", limit=9))] == ["b"]
    assert not wait(catalog.list_page(match="100_", limit=9))


def test_a_pin_outlives_a_result_that_is_written_anew_and_goes_with_one_that_is_forgotten(
    catalog: SqlResultCatalog, database: Database
) -> None:
    key = StrictKey("a" * 64)
    for _ in range(2):
        wait(catalog.set_pinned(key, pinned=True))
    wait(SqlRunCache(database).publish(_result("a", minutes=9)))
    assert [one.pinned for one in wait(catalog.find("aaaaaa", limit=2))] == [True]
    assert [one.result.key for one in wait(catalog.list_page(pinned_only=True, limit=9))] == [key]
    wait(catalog.remove([key, StrictKey("0" * 64)]))
    assert not wait(catalog.find("aaaaaa", limit=2))
    wait(SqlRunCache(database).publish(_result("a", minutes=10)))
    assert [one.pinned for one in wait(catalog.find("a", limit=2))] == [False]


def test_of_several_results_of_a_key_the_newest_is_found_and_all_are_forgotten(
    catalog: SqlResultCatalog, database: Database
) -> None:
    cache, newest = SqlRunCache(database), replace(_result("a", minutes=20), undeclared=Reads())
    for other in (replace(_result("a", minutes=5), undeclared=Reads(all_files="0" * 64)), newest):
        wait(cache.publish(other))
    assert [one.result for one in wait(catalog.find("a", limit=2))] == [newest]
    wait(catalog.remove([newest.key]))
    assert list(wait(cache.find(newest.key))) == []


def test_uses_are_those_of_the_index(catalog: SqlResultCatalog, database: Database) -> None:
    clock = FakeClock()
    begin = clock.now()
    index = SqlBlobIndex(database, clock)
    blobs = [BlobHash(digit * 32) for digit in "ab"]
    wait(index.add([BlobRecord(hash=blob, size_bytes=3, sha256=None) for blob in blobs]))
    clock.advance(timedelta(days=2).total_seconds())
    wait(index.note_use(blobs[1:]))
    uses = wait(catalog.uses([*blobs, BlobHash("9" * 32)]))
    assert {blob: use.used_at for blob, use in uses.items()} == {
        blobs[0]: begin,
        blobs[1]: begin + timedelta(days=2),
    }
    assert [use.hash for use in wait(catalog.list_uses(after=blobs[0], limit=5))] == blobs[1:]
    totals = wait(catalog.totals(since=None))
    assert (totals.results, totals.pinned, totals.blobs, totals.bytes, totals.runs) == (4, 0, 2, 6, 0)
