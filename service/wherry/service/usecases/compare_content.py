"""Compare the content that a caller has with the one that the bucket has under its MD5, by their SHA-256.

The bucket refuses to replace what is there, so whoever sends a second content of an MD5 past the service has it refused,
and so has whoever sends the first one again. Which of the two they are only their SHA-256 tells. A caller's word is
compared and never kept: what the index says of a content is what the service has read.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from wherry.service.domain.blob import BlobHash, Digest, object_key
from wherry.service.domain.errors import BlobMismatch, BlobMissing, blob_damaged, blob_missing
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.direct_transfers import DirectTransfers
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.claim_content import collision

# Objects read back at once. Each is read once, whoever asks: then the index knows it.
_READ_AT_ONCE = 2

_STEP_BYTES = 64 * 1024 * 1024


class CompareContent:
    """Asks the index, and reads an object back that nobody has read yet."""

    def __init__(self, *, transfers: DirectTransfers, objects: ObjectStore, index: BlobIndex) -> None:
        """Read through `transfers`, keep in `index` what was read, delete from `objects` what is not as named."""
        self._transfers = transfers
        self._objects = objects
        self._index = index
        self._turns = WeakValueDictionary[str, asyncio.Lock]()
        self._gate = asyncio.Semaphore(_READ_AT_ONCE)

    async def __call__(self, digest: Digest, sha256: str) -> AsyncIterator[int]:
        """End when the bucket has this content; yields how many bytes of it have been read.

        What is there is held afterwards, whichever of the two it is.

        Raises:
            HashCollision: if another content of this MD5 is there.
            BlobMissing: if nothing is there, or what is there was damaged; it is gone then, unless it was held.
            BlobMismatch: if it has another size.
        """
        turn = self._turns.setdefault(digest.hash, asyncio.Lock())
        async with turn:
            record = (await self._index.find([digest.hash])).get(digest.hash)
            if record is None or record.sha256 is None:
                async with self._gate:
                    async for read in self._read(digest.hash, is_held=record is not None):
                        yield read
                record = (await self._index.find([digest.hash])).get(digest.hash)
        if record is None or record.sha256 is None:
            raise blob_missing(digest.hash)
        if record.sha256 != sha256:
            raise collision(digest.hash, found=record.sha256, wanted=sha256)
        if record.size_bytes != digest.size_bytes:
            raise BlobMismatch(f"{digest.hash} has {record.size_bytes} bytes, not {digest.size_bytes}")

    async def _read(self, blob: BlobHash, *, is_held: bool) -> AsyncIterator[int]:
        """Record what is there; yields how far it is."""
        key = object_key(blob)
        if await self._transfers.look(key) is None:
            raise blob_missing(blob)
        md5, sha256, read = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        async for data in self._transfers.read(key):
            await asyncio.to_thread(_update, md5, sha256, data)
            read += len(data)
            if read % _STEP_BYTES < len(data):
                yield read
        if md5.hexdigest() != blob:
            if is_held:
                raise blob_damaged(blob, md5.hexdigest())
            # Nobody has been told that it is held.
            await self._objects.delete(key)
            raise BlobMissing(f"{blob} was damaged in the bucket, and has been removed")
        await self._index.add([BlobRecord(hash=blob, size_bytes=read, sha256=sha256.hexdigest())])
        yield read


def _update(md5: "hashlib._Hash", sha256: "hashlib._Hash", data: bytes) -> None:
    md5.update(data)
    sha256.update(data)
