"""Let clients move large blobs straight to and from the bucket, and believe only what the bucket or we have checked.

A blob up to 2 GiB is one request that carries the MD5 which is its name: the bucket refuses another body, and
refuses to replace what is there. A longer one, or one whose single request broke off, comes in parts under a key of
our own; it is read back and hashed before it gets its name, because no store checks the MD5 of a whole from its parts.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakValueDictionary

from wherry.service.domain.blob import BlobHash, Digest, object_key
from wherry.service.domain.errors import BlobMismatch, BlobMissing, HashCollision, InvalidInput, blob_missing
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.direct_transfers import DirectTransfers, SignedRequest
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.claim_content import STAGING, ClaimContent, collision
from wherry.service.usecases.compare_content import CompareContent

# In parts from here on. S3 takes 5 GiB in one request; what broke off is sent again from its beginning, so
# much less is better on a slow line, and reading parts back costs as long as the line to the bucket takes.
ONE_REQUEST_BYTES_MAX = 2 * 1024 * 1024 * 1024

_PART_BYTES = 32 * 1024 * 1024
# S3 takes 10,000 parts an object.
_PARTS_MAX = 9_000
# Signed in one answer; the client asks for more when they are sent.
_PARTS_PER_ANSWER = 64

_PROBE = "wherry/probe"
_STALE = timedelta(days=7)
_VERIFIED_STEP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that has not come yet."""

    offset: int
    size_bytes: int
    request: SignedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOffer:
    """How one blob may be sent. With neither a request nor parts nothing is left to send."""

    digest: Digest
    held: bool = False
    request: SignedRequest | None = None
    parts: tuple[Part, ...] = ()
    received_bytes: int = 0
    """Of one in parts: how much has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOffer:
    """How one blob may be read."""

    digest: Digest
    request: SignedRequest


class DirectBlobs:
    """Signs for the bucket, and takes in what came there."""

    def __init__(self, *, transfers: DirectTransfers, objects: ObjectStore, index: BlobIndex) -> None:
        """Write nothing but the probe and claims through `objects`."""
        self._transfers = transfers
        self._objects = objects
        self._index = index
        self._claim = ClaimContent(objects)
        self._compare = CompareContent(transfers=transfers, objects=objects, index=index)
        self._turns = WeakValueDictionary[str, asyncio.Lock]()
        self._probe = b""
        self._probing = asyncio.Lock()

    async def probe(self) -> tuple[SignedRequest, bytes]:
        """Return a request whose answer must be these bytes, if the caller reaches our bucket and no other."""
        async with self._probing:
            if not self._probe:
                content = secrets.token_bytes(32)
                await self._objects.put(_PROBE, content)
                self._probe = content
        return await self._transfers.sign_get(_PROBE), self._probe

    async def offer_uploads(self, digests: Sequence[Digest], *, in_parts: bool) -> list[UploadOffer]:
        """Say how each blob may be sent; `in_parts`: so that one that breaks off goes on where it was.

        Raises:
            InvalidInput: for a tree, whose members must be checked on the way.
        """
        for digest in digests:
            _expect_no_tree(digest)
        missing = await self._index.find_missing({digest.hash for digest in digests})
        return [
            await self._offer(digest, in_parts=in_parts)
            if digest.hash in missing
            else UploadOffer(digest=digest, held=True)
            for digest in digests
        ]

    async def finish_upload(
        self, digest: Digest, *, in_parts: bool, sha256: str | None = None
    ) -> AsyncIterator[int]:
        """Take in a blob that was sent; yields how many bytes of it have been verified.

        `sha256` is that of the caller's content, where it may not be the one that is there.

        Raises:
            InvalidInput: for a tree, which nobody could have sent.
            BlobMissing: if it, or a part of it, is not there.
            BlobMismatch: if it is something else; nothing of it is kept.
            HashCollision: if another content of this MD5 is there; nothing of the caller's is kept.
        """
        _expect_no_tree(digest)
        if await self._index.find_missing([digest.hash]):
            if in_parts or digest.size_bytes > ONE_REQUEST_BYTES_MAX:
                async for verified in self._finish_parts(digest):
                    yield verified
            elif sha256 is None:
                await self._finish_whole(digest)
                yield digest.size_bytes
        if sha256 is not None:
            async for verified in self._compare(digest, sha256):
                yield verified

    async def offer_downloads(self, digests: Sequence[Digest]) -> list[DownloadOffer]:
        """Say how each blob may be read, with its true size.

        Raises:
            BlobMissing: if one is not held.
        """
        records = await self._index.find({digest.hash for digest in digests})
        for digest in digests:
            if digest.hash not in records:
                raise blob_missing(digest.hash)
        return [
            DownloadOffer(
                digest=Digest(digest.hash, records[digest.hash].size_bytes),
                request=await self._transfers.sign_get(object_key(digest.hash)),
            )
            for digest in digests
        ]

    async def sweep(self) -> int:
        """Remove what clients began to send and never finished; says how much of it there was."""
        return await self._transfers.drop(STAGING, older_than=_STALE)

    async def _offer(self, digest: Digest, *, in_parts: bool) -> UploadOffer:
        if not in_parts and digest.size_bytes <= ONE_REQUEST_BYTES_MAX:
            signed = await self._transfers.sign_put(object_key(digest.hash), md5=digest.hash)
            return UploadOffer(digest=digest, request=signed)
        key, part_bytes = _staging_key(digest), part_bytes_of(digest)
        if await self._transfers.look(key) is not None:  # all came, and then the client or we broke off
            return UploadOffer(digest=digest, received_bytes=digest.size_bytes)
        upload = await self._transfers.open_parts(key)
        come = await self._transfers.list_parts(key, upload)
        spans = [
            (number, offset, min(part_bytes, digest.size_bytes - offset))
            for number, offset in enumerate(range(0, digest.size_bytes, part_bytes), start=1)
        ]
        all_lacking = [span for span in spans if come.get(span[0]) != span[2]]
        lacking = all_lacking[:_PARTS_PER_ANSWER]
        signed_parts = await self._transfers.sign_parts(key, upload, [number for number, _, _ in lacking])
        return UploadOffer(
            digest=digest,
            parts=tuple(
                Part(offset=offset, size_bytes=size, request=signed_parts[number])
                for number, offset, size in lacking
            ),
            received_bytes=digest.size_bytes - sum(size for _, _, size in all_lacking),
        )

    async def _finish_whole(self, digest: Digest) -> None:
        key = object_key(digest.hash)
        found = await self._transfers.look(key)
        if found is None:
            raise BlobMissing(f"{digest.hash} has not come to the bucket")
        is_another = found.md5 not in {None, digest.hash}
        if is_another:
            # A store that does not check Content-MD5. Nobody has been told that the blob is held.
            await self._objects.delete(key)
        if is_another or found.size_bytes != digest.size_bytes:
            raise BlobMismatch(
                f"content announced as {digest.hash} has another size or hash in the bucket",
                hint="Was the file changed while it was sent? Submit again.",
            )
        await self._index.add([_record(digest, None)])

    async def _finish_parts(self, digest: Digest) -> AsyncIterator[int]:
        # One at a time: what was verified must be what is copied.
        turn = self._turns.setdefault(_staging_key(digest), asyncio.Lock())
        async with turn:
            if await self._index.find_missing([digest.hash]):
                async for verified in self._verify_and_name(digest):
                    yield verified

    async def _verify_and_name(self, digest: Digest) -> AsyncIterator[int]:
        key = _staging_key(digest)
        if await self._transfers.look(key) is None:
            upload = await self._transfers.open_parts(key)
            come = await self._transfers.list_parts(key, upload)
            if sum(come.values()) != digest.size_bytes:
                raise BlobMissing(f"only {sum(come.values())} bytes of {digest.hash} have come to the bucket")
            await self._transfers.join_parts(key, upload)
        md5, sha256, read = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        async for data in self._transfers.read(key):
            await asyncio.to_thread(_update, md5, sha256, data)
            read += len(data)
            if read % _VERIFIED_STEP_BYTES < len(data):
                yield read
        if md5.hexdigest() != digest.hash or read != digest.size_bytes:
            await self._objects.delete(key)
            raise BlobMismatch(
                f"content announced as {digest.hash} has the hash {md5.hexdigest()}",
                hint="Was the file changed while it was sent? Submit again.",
            )
        try:
            await self._name(digest, sha256.hexdigest())
        except HashCollision:
            await self._objects.delete(key)
            raise
        await self._objects.delete(key)
        yield read

    async def _name(self, digest: Digest, sha256: str) -> None:
        key = object_key(digest.hash)
        async with self._claim(digest.hash, sha256):
            while not await self._transfers.copy_new(_staging_key(digest), key, size_bytes=digest.size_bytes):
                found, found_sha256 = await self._hashes_of(key)
                if found == digest.hash and found_sha256 == sha256:
                    break
                if found == digest.hash:
                    raise collision(digest.hash, found=found_sha256, wanted=sha256)
                await self._objects.delete(key)  # damaged, whoever put it there
        await self._index.add([_record(digest, sha256)])

    async def _hashes_of(self, key: str) -> tuple[str, str]:
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        async for data in self._transfers.read(key):
            await asyncio.to_thread(_update, md5, sha256, data)
        return md5.hexdigest(), sha256.hexdigest()


def _expect_no_tree(digest: Digest) -> None:
    if digest.is_tree:
        raise InvalidInput(f"{digest.hash} is a tree; trees are sent through the service")


def part_bytes_of(digest: Digest) -> int:
    """How long the parts of a blob are; decided by its size alone, so that every client sends the same ones."""
    mib = 1024 * 1024
    return max(_PART_BYTES, -(-digest.size_bytes // _PARTS_MAX // mib) * mib)


def _staging_key(digest: Digest) -> str:
    # The size too: who announces a wrong one must not meet the parts of who announces the right one.
    return f"{STAGING}{digest.hash}-{digest.size_bytes}"


def _record(digest: Digest, sha256: str | None) -> BlobRecord:
    return BlobRecord(hash=BlobHash(digest.hash), size_bytes=digest.size_bytes, sha256=sha256)


def _update(md5: "hashlib._Hash", sha256: "hashlib._Hash", data: bytes) -> None:
    md5.update(data)
    sha256.update(data)
