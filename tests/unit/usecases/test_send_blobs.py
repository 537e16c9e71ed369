"""Giving content out: in order, whole, and never what is not its name."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.object_store import FakeObjectStore
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.domain.blob import Digest, digest_content, object_key
from wherry.service.domain.errors import BlobMissing
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.usecases.send_blobs import SendBlobs


class Service:
    """What is held, and what sends it."""

    def __init__(self, folder: Path) -> None:
        self.objects, self.index = FakeObjectStore(), FakeBlobIndex()
        self.folder = folder
        self.node = LocalNodeCache(folder, store=self.objects)
        self._send = SendBlobs(node=self.node, objects=self.objects, index=self.index)

    def hold(self, content: bytes) -> Digest:
        digest = digest_content(content)
        self.objects.objects[object_key(digest.hash)] = content
        record = BlobRecord(hash=digest.hash, size_bytes=digest.size_bytes, sha256=None)
        asyncio.run(self.index.add([record]))
        return digest

    def send(self, *digests: Digest) -> dict[str, bytes]:
        async def collect() -> dict[str, bytes]:
            sent: dict[str, bytes] = {}
            async for chunk in self._send(digests):
                assert chunk.offset == len(sent.get(chunk.digest.hash, b"")), "in order, nothing left out"
                sent[chunk.digest.hash] = sent.get(chunk.digest.hash, b"") + chunk.data
            return sent

        return asyncio.run(collect())


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path / "node")


def test_all_comes_in_the_order_asked_for(service: Service) -> None:
    contents = [b"", b"x" * 3_000_000, *(b"%d" % number for number in range(40)), b"y" * 300_000]
    digests = [service.hold(content) for content in contents]

    assert list(service.send(*digests).items()) == [
        (digest.hash, content) for digest, content in zip(digests, contents, strict=True)
    ]


def test_small_blobs_leave_no_copy_on_the_node_and_long_ones_do(service: Service) -> None:
    small, long = service.hold(b"small"), service.hold(b"x" * 3_000_000)

    service.send(small, long)

    assert (service.node.holds(small.hash), service.node.holds(long.hash)) == (False, True)


def test_what_the_node_has_is_not_asked_of_the_store(service: Service) -> None:
    digest = service.hold(b"small")
    asyncio.run(service.node.path(digest.hash))
    service.objects.objects.clear()

    assert service.send(digest) == {digest.hash: b"small"}


@pytest.mark.parametrize("content", [None, b"other", b"x" * 300_000])
def test_what_the_store_lost_or_exchanged_is_not_sent(service: Service, content: bytes | None) -> None:
    digest = service.hold(b"small")
    service.objects.objects.pop(object_key(digest.hash))
    if content is not None:
        service.objects.objects[object_key(digest.hash)] = content

    with pytest.raises(BlobMissing, match=digest.hash):
        service.send(digest)
