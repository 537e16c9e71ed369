"""Give content out, through the node's own copy."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.errors import TooMany
from wherry.service.domain.limits import CHUNK_BYTES_MAX, DVC_FILE_BYTES_MAX, TREE_BYTES_MAX
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.tree import Tree, parse_tree
from wherry.service.ports.workspaces import NodeCache
from wherry.service.usecases.put_blobs import Chunk

# Blobs fetched ahead of the one being sent: the bucket's latency is paid once, not per blob.
_READ_AHEAD = 16


class ReadBlobs:
    """Reads blobs that are held."""

    def __init__(self, node: NodeCache) -> None:
        """Read through the node's own copy."""
        self._node = node

    async def read_dvc_file(self, blob: BlobHash) -> bytes:
        """Content of a file that Wherry itself reads, bounded."""
        return await self._node.read(blob, limit_bytes=DVC_FILE_BYTES_MAX)

    async def read_project_file(self, path: ProjectPath, file: SnapshotFile) -> bytes:
        """Content of one of the project's own files that Wherry reads.

        Raises:
            TooMany: with the path, if it is longer than what Wherry reads.
        """
        if file.size_bytes > DVC_FILE_BYTES_MAX:
            raise TooMany(f"{path} has {file.size_bytes} bytes; Wherry reads at most {DVC_FILE_BYTES_MAX}")
        return await self.read_dvc_file(file.hash)

    async def read_tree(self, blob: BlobHash) -> Tree:
        """A tree that is held."""
        return parse_tree(await self._node.read(blob, limit_bytes=TREE_BYTES_MAX))

    async def send(self, digests: Sequence[Digest]) -> AsyncIterator[Chunk]:
        """Yield the content of blobs in order, at least one chunk each.

        Raises:
            BlobMissing: if one is not held.
        """
        with self._node.lease() as lease:
            ahead: list[asyncio.Task[Path]] = []
            try:
                for position, digest in enumerate(digests):
                    wanted = digests[position + len(ahead) : position + _READ_AHEAD]
                    ahead += [asyncio.create_task(lease.path(later.hash)) for later in wanted]
                    path = await ahead.pop(0)
                    async for chunk in _chunks_of(digest, path):
                        yield chunk
            finally:
                for task in ahead:
                    task.cancel()
                await asyncio.gather(*ahead, return_exceptions=True)


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
