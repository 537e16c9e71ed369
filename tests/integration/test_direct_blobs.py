"""Large blobs past the service: what the bucket and the service believe, on a real S3 server."""

import asyncio
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.colliding import colliding_pair
from tests.fakes.blob_index import FakeBlobIndex
from wherry.client.bucket import ALREADY_THERE, OK, Bucket, BucketTrouble, FilePart
from wherry.client.errors import FileTrouble
from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.direct_transfers_s3 import S3DirectTransfers
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.domain.blob import BlobHash, Digest, digest_content, object_key
from wherry.service.domain.errors import BlobMismatch, BlobMissing, HashCollision, InvalidInput
from wherry.service.ports.direct_transfers import SignedRequest
from wherry.service.usecases.direct_blobs import DirectBlobs, part_bytes_of
from wherry.v1 import blobs_pb2

MIB = 1024 * 1024


@dataclass
class Store:
    direct: DirectBlobs
    transfers: S3DirectTransfers
    objects: S3ObjectStore
    index: FakeBlobIndex
    bucket: Bucket
    file: Path

    def send(self, signed: SignedRequest, body: bytes) -> int:
        self.file.write_bytes(body)
        part = FilePart(
            self.file,
            None,
            offset=0,
            size=len(body),
            sent=lambda _: None,
            changed=lambda: FileTrouble("changed"),
        )
        try:
            return self.bucket.put(request_of(signed), part)
        finally:
            part.close()

    def offer(self, digest: Digest, *, in_parts: bool = False) -> SignedRequest:
        (offer,) = asyncio.run(self.direct.offer_uploads([digest], in_parts=in_parts))
        assert offer.request is not None
        return offer.request

    def finish(self, digest: Digest, *, in_parts: bool = False, content: bytes | None = None) -> list[int]:
        """With `content` as a caller who may have another than the one that is there."""
        sha256 = None if content is None else hashlib.sha256(content).hexdigest()

        async def all_of_it() -> list[int]:
            taken_in = self.direct.finish_upload(digest, in_parts=in_parts, sha256=sha256)
            return [verified async for verified in taken_in]

        return asyncio.run(all_of_it())

    def held(self, digest: Digest) -> bool:
        return digest.hash in self.index.records

    def body(self, digest: Digest) -> bytes | None:
        return asyncio.run(self.objects.get(object_key(digest.hash)))

    def put_by_others(self, digest: Digest, body: bytes) -> None:
        """As `dvc push` would; the index knows nothing of it."""
        asyncio.run(self.objects.put(object_key(digest.hash), body))

    def sha256(self, digest: Digest) -> str | None:
        return self.index.records[digest.hash].sha256

    def staged(self) -> list[str]:
        return asyncio.run(self.objects.list_keys("wherry/staging/"))


def request_of(signed: SignedRequest) -> blobs_pb2.SignedRequest:
    return blobs_pb2.SignedRequest(url=signed.url, headers=dict(signed.headers))


@pytest.fixture
def store(object_store: S3ObjectStore, s3_settings: S3Settings, tmp_path: Path) -> Iterator[Store]:
    transfers, index = S3DirectTransfers.connect(s3_settings, public=s3_settings), FakeBlobIndex()
    direct = DirectBlobs(transfers=transfers, objects=object_store, index=index)
    bucket = Bucket()
    yield Store(direct, transfers, object_store, index, bucket, tmp_path / "file")
    bucket.close()
    asyncio.run(transfers.close())


def test_the_probe_tells_our_bucket_from_any_other(store: Store) -> None:
    signed, content = asyncio.run(store.direct.probe())

    assert store.bucket.is_reached(request_of(signed), content)
    assert not store.bucket.is_reached(request_of(signed), b"another bucket's")
    assert not store.bucket.is_reached(blobs_pb2.SignedRequest(url="http://127.0.0.1:1/x"), content)
    assert not store.bucket.is_reached(blobs_pb2.SignedRequest(url="file:///etc/passwd"), content)


def test_what_was_sent_is_held_once_it_is_taken_in(store: Store) -> None:
    digest = digest_content(b"large")

    assert store.send(store.offer(digest), b"large") == OK
    assert not store.held(digest)
    assert store.finish(digest) == [5]

    assert store.held(digest)
    assert store.body(digest) == b"large"
    assert store.finish(digest) == [], "repeating it is harmless"


def test_the_bucket_refuses_another_body(store: Store) -> None:
    digest = digest_content(b"large")

    assert store.send(store.offer(digest), b"wrong") == 400
    with pytest.raises(BlobMissing):
        store.finish(digest)

    assert store.body(digest) is None


def test_a_signed_request_does_not_replace_what_is_there(store: Store) -> None:
    digest = digest_content(b"large")
    first, second = store.offer(digest), store.offer(digest)

    assert store.send(first, b"large") == OK
    assert store.send(second, b"large") == ALREADY_THERE, "two clients send the same"
    assert store.finish(digest) == [5]
    (offer,) = asyncio.run(store.direct.offer_uploads([digest], in_parts=False))

    assert offer.held
    assert offer.request is None


def test_a_wrong_size_is_not_believed(store: Store) -> None:
    digest = digest_content(b"large")
    lie = Digest(digest.hash, 6)

    assert store.send(store.offer(lie), b"large") == OK
    with pytest.raises(BlobMismatch):
        store.finish(lie)
    with pytest.raises(BlobMismatch):
        store.finish(lie, content=b"large")

    assert store.body(digest) == b"large", "what is what its name says nobody may take from others by a lie"


FIRST, SECOND = colliding_pair(2 * MIB + 1)
COLLIDING = digest_content(FIRST)


@pytest.mark.parametrize("is_held", [False, True], ids=["of others", "held, but read by nobody"])
def test_who_sends_a_second_content_of_an_md5_is_told_and_who_sends_the_first_is_not(
    store: Store, is_held: bool
) -> None:
    store.put_by_others(COLLIDING, FIRST)
    signed = store.offer(COLLIDING)
    if is_held:
        assert store.finish(COLLIDING) == [len(FIRST)]
        assert store.sha256(COLLIDING) is None

    assert store.send(signed, SECOND) == ALREADY_THERE
    with pytest.raises(HashCollision, match=COLLIDING.hash):
        store.finish(COLLIDING, content=SECOND)

    assert store.body(COLLIDING) == FIRST
    assert store.sha256(COLLIDING) == hashlib.sha256(FIRST).hexdigest(), "what was read, not what was said"
    # Known now: nothing is read again, whoever asks.
    asyncio.run(store.objects.delete(object_key(COLLIDING.hash)))
    assert store.finish(COLLIDING, content=FIRST) == []
    with pytest.raises(HashCollision):
        store.finish(COLLIDING, content=SECOND)
    with pytest.raises(HashCollision):
        store.finish(COLLIDING, in_parts=True, content=SECOND)


def test_who_compares_while_nothing_is_there_has_to_send(store: Store) -> None:
    with pytest.raises(BlobMissing):
        store.finish(COLLIDING, content=FIRST)

    assert not store.held(COLLIDING)


def test_many_who_compare_at_once_have_one_object_read_once(store: Store) -> None:
    store.put_by_others(COLLIDING, FIRST)

    async def compare(content: bytes) -> list[int]:
        sha256 = hashlib.sha256(content).hexdigest()
        taken_in = store.direct.finish_upload(COLLIDING, in_parts=False, sha256=sha256)
        return [read async for read in taken_in]

    async def all_of_them() -> list[list[int] | BaseException]:
        return await asyncio.gather(*map(compare, [FIRST, SECOND] * 4), return_exceptions=True)

    done = asyncio.run(all_of_them())

    assert [type(answer) for answer in done] == [list, HashCollision] * 4
    assert sum(isinstance(answer, list) and bool(answer) for answer in done) <= 1, (
        "only who reads tells how far"
    )


def test_what_was_damaged_is_sent_again_unless_it_is_held(store: Store) -> None:
    digest = digest_content(b"whole")
    store.put_by_others(digest, b"rotten")

    with pytest.raises(BlobMissing, match="damaged"):
        store.finish(digest, content=b"whole")
    assert store.send(store.offer(digest), b"whole") == OK
    store.finish(digest)
    store.put_by_others(digest, b"rotten")
    with pytest.raises(BlobMissing, match="damaged"):
        store.finish(digest, content=b"whole")

    assert store.body(digest) == b"rotten", "`cache fsck` takes out what is held"


def test_nobody_takes_away_a_tree_by_saying_that_it_was_sent(store: Store) -> None:
    tree = Digest(BlobHash("0" * 32 + ".dir"), 2)
    store.put_by_others(tree, b"[]")

    with pytest.raises(InvalidInput):
        store.finish(tree)

    assert store.body(tree) == b"[]"


def test_whose_parts_lost_to_those_of_a_second_content_is_told(store: Store) -> None:
    (offer,) = asyncio.run(store.direct.offer_uploads([COLLIDING], in_parts=True))
    assert store.send(offer.parts[0].request, FIRST) == OK
    assert store.send(offer.parts[0].request, SECOND) == OK

    with pytest.raises(HashCollision):
        store.finish(COLLIDING, in_parts=True, content=FIRST)
    store.finish(COLLIDING, in_parts=True, content=SECOND)

    assert store.body(COLLIDING) == SECOND


def test_parts_go_on_where_they_were_and_are_verified_before_they_get_their_name(store: Store) -> None:
    content = random.Random(1).randbytes(40 * MIB)
    digest = digest_content(content)
    part = part_bytes_of(digest)

    (begin,) = asyncio.run(store.direct.offer_uploads([digest], in_parts=True))
    sent = begin.parts[0]
    assert store.send(sent.request, content[sent.offset : sent.offset + sent.size_bytes]) == OK
    with pytest.raises(BlobMissing):
        store.finish(digest, in_parts=True)
    # Whoever was sending is gone; somebody else with the same file comes.
    (rest,) = asyncio.run(store.direct.offer_uploads([digest], in_parts=True))

    assert [one.offset for one in begin.parts] == [0, part]
    assert [one.offset for one in rest.parts] == [part]
    assert rest.received_bytes == part
    assert store.send(rest.parts[0].request, content[part:]) == OK
    (last,) = asyncio.run(store.direct.offer_uploads([digest], in_parts=True))
    assert not last.parts
    assert store.finish(digest, in_parts=True)[-1] == len(content)
    assert store.body(digest) == content
    assert store.index.records[digest.hash].sha256 == hashlib.sha256(content).hexdigest()
    assert store.staged() == []


def test_parts_that_are_something_else_leave_nothing(store: Store) -> None:
    digest = Digest(BlobHash("0" * 32), 7)
    (offer,) = asyncio.run(store.direct.offer_uploads([digest], in_parts=True))
    assert store.send(offer.parts[0].request, b"evil!!!") == OK

    with pytest.raises(BlobMismatch):
        store.finish(digest, in_parts=True)

    assert store.body(digest) is None
    assert not store.held(digest)
    assert store.staged() == []


def test_what_nobody_finishes_is_swept_away(store: Store) -> None:
    digest = digest_content(b"begun")
    (offer,) = asyncio.run(store.direct.offer_uploads([digest], in_parts=True))
    store.send(offer.parts[0].request, b"begun")

    assert asyncio.run(store.direct.sweep()) == 0, "it may still be under way"
    assert asyncio.run(store.transfers.drop("wherry/staging/", older_than=timedelta(0))) == 1

    (again,) = asyncio.run(store.direct.offer_uploads([digest], in_parts=True))
    assert again.received_bytes == 0


def test_a_tree_is_not_sent_past_the_check_of_its_members(store: Store) -> None:
    with pytest.raises(InvalidInput):
        asyncio.run(store.direct.offer_uploads([Digest(BlobHash("0" * 32 + ".dir"), 2)], in_parts=False))


def test_ranges_of_a_blob_are_read(store: Store) -> None:
    digest = digest_content(b"0123456789")
    store.send(store.offer(digest), b"0123456789")
    store.finish(digest)
    (offer,) = asyncio.run(store.direct.offer_downloads([Digest(digest.hash, 0)]))
    got = bytearray()

    store.bucket.get(request_of(offer.request), 3, 4, got.extend)

    assert got == b"3456"
    assert offer.digest.size_bytes == 10
    with pytest.raises(BucketTrouble):
        store.bucket.get(request_of(offer.request), 8, 4, got.extend)
    with pytest.raises(BlobMissing):
        asyncio.run(store.direct.offer_downloads([Digest(BlobHash("f" * 32), 1)]))
