"""Content that a laptop pushed is recorded once the node has read it."""

import asyncio
import hashlib
from pathlib import Path

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.event_log import FakeEventLog
from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.domain.blob import hash_content, object_key
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.usecases.record_content import RecordContent


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_is_fetched_is_recorded_if_nobody_has_seen_it(tmp_path: Path) -> None:
    objects, index = FakeObjectStore(), FakeBlobIndex()
    foreign, own, unknown = (hash_content(content) for content in (b"foreign", b"own", b"unknown"))

    async def check() -> None:
        for content in (b"foreign", b"own", b"unknown"):
            await objects.put(object_key(hash_content(content)), content)
        # A listing may tell another size than the content has by now.
        await index.add([BlobRecord(hash=foreign, size_bytes=1, sha256=None)])
        await index.add([BlobRecord(hash=own, size_bytes=3, sha256=sha256_of(b"own"))])
        record = RecordContent(index=index, log=FakeEventLog())
        node = LocalNodeCache(tmp_path / "node", store=objects, fetched=record)
        for blob in (unknown, own, foreign):
            await node.path(blob)
        await record.settle()
        node.close()

    asyncio.run(check())
    assert index.records == {
        foreign: BlobRecord(hash=foreign, size_bytes=7, sha256=sha256_of(b"foreign")),
        own: BlobRecord(hash=own, size_bytes=3, sha256=sha256_of(b"own")),
    }


def test_a_file_that_is_gone_again_is_left_for_the_next_time(tmp_path: Path) -> None:
    index, log = FakeBlobIndex(), FakeEventLog()
    blobs = [hash_content(content) for content in (b"gone", b"here")]
    (tmp_path / "here").write_bytes(b"here")

    async def check() -> None:
        await index.add([BlobRecord(hash=blob, size_bytes=4, sha256=None) for blob in blobs])
        record = RecordContent(index=index, log=log)
        record(blobs[0], tmp_path / "gone")
        record(blobs[1], tmp_path / "here")
        await record.settle()

    asyncio.run(check())
    assert [index.records[blob].sha256 for blob in blobs] == [None, sha256_of(b"here")]
    assert log.warnings == []
