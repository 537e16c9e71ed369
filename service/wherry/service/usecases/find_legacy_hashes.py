"""Compute the hashes that DVC 2 gives to content the store holds: read once, remembered while the service runs."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.dvc.legacy_hash import (
    READ_BYTES,
    LegacyHasher,
    LegacyHashes,
    legacy_tree_hash,
)
from wherry.service.domain.errors import BlobMissing
from wherry.service.domain.limits import LEGACY_HASH_BYTES_MAX
from wherry.service.domain.tree import Tree
from wherry.service.ports.workspaces import NodeCache
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.read_blobs import ReadBlobs

# Two hashes and their places in memory are about 250 bytes.
_REMEMBERED_MAX = 200_000

_READS_AT_ONCE = 8


class FindLegacyHashes:
    """Finds hashes of DVC 2 by the content's own hash."""

    def __init__(self, *, held: FindSources, read: ReadBlobs, node: NodeCache) -> None:
        """Know from `held` what there is; read files out of the node's own copy; trees through `read`."""
        self._held = held
        self._read = read
        self._node = node
        self._known: dict[BlobHash, BlobHash] = {}
        self._gate = asyncio.Semaphore(_READS_AT_ONCE)

    async def __call__(self, hashes: Iterable[BlobHash], trees: Mapping[BlobHash, Tree]) -> LegacyHashes:
        """The hashes of DVC 2 of files and folders; of folders that the store does not hold `trees` has the files.

        What the store lacks is left out, and so is more content than is worth reading: DVC takes it for changed then,
        and gives it a hash of its own time.
        """
        found: dict[BlobHash, BlobHash] = {}
        for blob in dict.fromkeys(hashes):
            if not blob.endswith(TREE_SUFFIX):
                found |= await self._of_files({blob})
                continue
            tree = trees.get(blob) or await self._held_tree(blob)
            members = {} if tree is None else await self._of_files(tree.hashes())
            if tree is not None and members.keys() == tree.hashes():
                found[blob] = legacy_tree_hash(tree, members)
        return found

    async def _held_tree(self, blob: BlobHash) -> Tree | None:
        if await self._held.find_missing({blob}):
            return None
        return await self._read.read_tree(blob)

    async def _of_files(self, blobs: Iterable[BlobHash]) -> dict[BlobHash, BlobHash]:
        """All of them, or nothing when one is not held or they are too long together."""
        wanted = set(blobs)
        unknown = wanted - self._known.keys()
        records = await self._held.find(unknown)
        if len(records) < len(unknown):
            return {}
        if sum(record.size_bytes for record in records.values()) > LEGACY_HASH_BYTES_MAX:
            return {}
        try:
            new = dict(zip(unknown, await asyncio.gather(*map(self._of_file, unknown)), strict=True))
        except BlobMissing:
            return {}
        found = {blob: new.get(blob) or self._known[blob] for blob in wanted}
        self._remember(new)
        return found

    async def _of_file(self, blob: BlobHash) -> BlobHash:
        async with self._gate:
            path = await self._node.path(blob)
            return await asyncio.to_thread(_hash_file, path)

    def _remember(self, new: Mapping[BlobHash, BlobHash]) -> None:
        self._known |= new
        # The oldest go first.
        for blob in list(self._known)[: max(0, len(self._known) - _REMEMBERED_MAX)]:
            del self._known[blob]


def _hash_file(path: Path) -> BlobHash:
    hasher = LegacyHasher()
    with path.open("rb") as file:
        while read := file.read(READ_BYTES):
            hasher.update(read)
    return hasher.hash()
