"""Give content out to clients: small blobs straight from the store, others through the node's own copy.

A copy on the node is for stages. What a client pulls is seldom wanted here again, and for a small blob a file, its
hash and its reading back cost more than the request to the store.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, Digest, object_key
from wherry.service.domain.limits import CHUNK_BYTES_MAX
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.workspaces import NodeCache, NodeLease
from wherry.service.usecases.put_blobs import Chunk

# Blobs fetched ahead of the one being sent: the bucket's latency is paid once, not per blob.
_READ_AHEAD = 16

# All that is read ahead for one call are 4 MiB.
_IN_MEMORY_BYTES_MAX = 256 * 1024


class SendBlobs:
    """Sends blobs that are held."""

    def __init__(self, *, node: NodeCache, objects: ObjectStore, index: BlobIndex) -> None:
        """Read what the node has from it; the index says what is small."""
        self._node = node
        self._objects = objects
        self._index = index

    async def __call__(self, digests: Sequence[Digest]) -> AsyncIterator[Chunk]:
        """Yield the content of blobs in order, at least one chunk each.

        Raises:
            BlobMissing: if one is not held.
        """
        records = await self._index.find({digest.hash for digest in digests})
        small = {name for name, record in records.items() if record.size_bytes <= _IN_MEMORY_BYTES_MAX}
        left = iter(digests)
        with self._node.lease() as lease:
            ahead: deque[tuple[Digest, asyncio.Task[bytes | Path]]] = deque()
            try:
                while True:
                    while len(ahead) < _READ_AHEAD and (later := next(left, None)) is not None:
                        have = self._have(later.hash, lease, is_small=later.hash in small)
                        ahead.append((later, asyncio.create_task(have)))
                    if not ahead:
                        return
                    digest, have_it = ahead[0]
                    content = await have_it
                    ahead.popleft()
                    if isinstance(content, bytes):
                        yield Chunk(digest, 0, content)
                        continue
                    async for chunk in _chunks_of(digest, content):
                        yield chunk
            finally:
                for _, task in ahead:
                    task.cancel()
                await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    async def _have(self, blob: BlobHash, lease: NodeLease, *, is_small: bool) -> bytes | Path:
        if is_small and not self._node.holds(blob):
            content = await self._objects.get(object_key(blob))
            if content is not None and len(content) <= _IN_MEMORY_BYTES_MAX and _is(blob, content):
                return content
        # Also where the store has lost it, or has something else: the node's copy knows how to say that.
        return await lease.path(blob)


def _is(blob: BlobHash, content: bytes) -> bool:
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == blob.removesuffix(TREE_SUFFIX)


async def _chunks_of(digest: Digest, path: Path) -> AsyncIterator[Chunk]:
    offset = 0
    with await asyncio.to_thread(path.open, "rb") as file:
        while True:
            data = await asyncio.to_thread(file.read, CHUNK_BYTES_MAX)
            if data or not offset:
                yield Chunk(digest, offset, data)
            offset += len(data)
            if len(data) < CHUNK_BYTES_MAX:
                return
