"""Of two long contents with one MD5 the first stays, however they come to the bucket and however many at once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.colliding import colliding_pair
from tests.fakes.clock import FakeClock
from tests.unit.usecases.test_put_blobs import NoNodeCache
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.client_s3 import S3Settings, make_client
from wherry.service.adapters.database import Database
from wherry.service.adapters.direct_transfers_s3 import S3DirectTransfers
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.domain.blob import digest_content, object_key
from wherry.service.domain.errors import HashCollision
from wherry.service.usecases.claim_content import STAGING
from wherry.service.usecases.direct_blobs import DirectBlobs
from wherry.service.usecases.put_blobs import Chunk, LocalBlob, PutBlobs

# Above what the stores of this test take in one request, and in one copy.
SIZE = 3 * 1024 * 1024
ONE_REQUEST_BYTES_MAX = 1024 * 1024
CHUNK = 1024 * 1024
FIRST, SECOND = colliding_pair(SIZE)
DIGEST = digest_content(FIRST)
KEY = object_key(DIGEST.hash)


@dataclass
class Service:
    """The ways in which content comes to a bucket."""

    put: PutBlobs
    direct: DirectBlobs
    transfers: S3DirectTransfers
    folder: Path

    async def receive(self, content: bytes) -> None:
        """From a client, through the service."""

        async def chunks() -> AsyncIterator[Chunk]:
            for offset in range(0, SIZE, CHUNK):
                yield Chunk(DIGEST, offset, content[offset : offset + CHUNK])

        await self.put.receive(chunks())

    async def keep(self, content: bytes) -> None:
        """From a stage."""
        sha256 = hashlib.sha256(content).hexdigest()
        source = self.folder / sha256
        await asyncio.to_thread(source.write_bytes, content)
        await self.put.put_files([LocalBlob(digest=DIGEST, sha256=sha256, source=source)])

    async def finish(self, _: bytes) -> None:
        """From a client, past the service: what it has sent is staged."""
        async for _verified in self.direct.finish_upload(DIGEST, in_parts=True):
            pass


Way = Callable[[Service, bytes], Coroutine[Any, Any, None]]


@dataclass
class Bucket:
    objects: S3ObjectStore
    index: SqlBlobIndex
    services: list[Service]

    def stage(self, content: bytes) -> None:
        """As if a client had sent all parts."""
        asyncio.run(self.objects.put(f"{STAGING}{DIGEST.hash}-{DIGEST.size_bytes}", content))

    def content(self) -> bytes | None:
        return asyncio.run(self.objects.get(KEY))

    def sha256(self) -> str | None:
        return asyncio.run(self.index.find([DIGEST.hash]))[DIGEST.hash].sha256

    def left(self) -> list[str]:
        return [key for key in asyncio.run(self.objects.list_keys("")) if key != KEY]


@pytest.fixture
def bucket(
    object_store: S3ObjectStore, s3_settings: S3Settings, sqlite_database: Database, tmp_path: Path
) -> Iterator[Bucket]:
    """A bucket that two services use, with one database: one copies in one request, the other in parts."""
    index, client = SqlBlobIndex(sqlite_database, FakeClock()), make_client(s3_settings)
    name, prefix = s3_settings.bucket, s3_settings.prefix
    store = S3ObjectStore(client, bucket=name, prefix=prefix, one_request_bytes_max=ONE_REQUEST_BYTES_MAX)
    services = []
    for copy_bytes_max in (SIZE, ONE_REQUEST_BYTES_MAX):
        folder = tmp_path / str(copy_bytes_max)
        folder.mkdir()
        transfers = S3DirectTransfers(
            client, client, bucket=name, prefix=prefix, copy_bytes_max=copy_bytes_max
        )
        put = PutBlobs(objects=store, index=index, node=NoNodeCache(), spool=folder)
        direct = DirectBlobs(transfers=transfers, objects=store, index=index)
        services.append(Service(put, direct, transfers, folder))
    yield Bucket(object_store, index, services)
    for service in services:
        asyncio.run(service.transfers.close())
    asyncio.run(store.close())


@pytest.mark.parametrize(
    ("way", "service"),
    [(Service.receive, 0), (Service.keep, 0), (Service.finish, 0), (Service.finish, 1)],
    ids=["received", "of a stage", "copied", "copied in parts"],
)
def test_a_second_content_is_refused_and_leaves_nothing_and_the_first_may_come_again(
    bucket: Bucket, way: Way, service: int
) -> None:
    # Put there by somebody else: the index does not know it, so only the bucket can tell.
    asyncio.run(bucket.objects.put(KEY, FIRST))

    if way is Service.finish:
        bucket.stage(SECOND)
    with pytest.raises(HashCollision, match=DIGEST.hash):
        asyncio.run(way(bucket.services[service], SECOND))

    assert bucket.content() == FIRST
    assert asyncio.run(bucket.index.find_missing([DIGEST.hash])) == {DIGEST.hash}
    assert bucket.left() == []

    if way is Service.finish:
        bucket.stage(FIRST)
    asyncio.run(way(bucket.services[service], FIRST))

    assert bucket.content() == FIRST
    assert bucket.sha256() == hashlib.sha256(FIRST).hexdigest()
    assert bucket.left() == []


def test_of_many_that_come_at_once_one_stays_and_all_are_told_the_truth(bucket: Bucket) -> None:
    bucket.stage(SECOND)

    async def all_of_them() -> list[tuple[bytes, BaseException | None]]:
        one, two = bucket.services
        calls = [
            (content, way(service, content))
            for service in (one, two)
            for way, content in (
                (Service.keep, FIRST),
                (Service.keep, SECOND),
                (Service.receive, FIRST),
                (Service.receive, SECOND),
                (Service.finish, SECOND),
            )
        ]
        done = await asyncio.gather(*(call for _, call in calls), return_exceptions=True)
        return [(content, answer) for (content, _), answer in zip(calls, done, strict=True)]

    done = asyncio.run(all_of_them())

    kept = bucket.content()
    assert kept in {FIRST, SECOND}
    assert bucket.sha256() == hashlib.sha256(kept or b"").hexdigest()
    for content, answer in done:
        assert isinstance(answer, HashCollision if content != kept else type(None)), answer
    assert bucket.left() == []
