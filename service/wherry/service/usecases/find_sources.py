"""Say which files of projects the store holds: with objects of their own, or in packs."""

from collections.abc import Collection, Sequence

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.packs import PackIndex


class FindSources:
    """Answers for whoever reads a project's own files.

    What only a pack holds is not in the store for DVC. Outputs, data and members of trees are asked for in the index
    of blobs alone.
    """

    def __init__(self, *, index: BlobIndex, packs: PackIndex) -> None:
        """Look in both."""
        self._index = index
        self._packs = packs

    async def missing_of(self, digests: Sequence[Digest]) -> list[Digest]:
        """Those that are not held, in the order given."""
        missing = await self.find_missing({digest.hash for digest in digests})
        return [digest for digest in digests if digest.hash in missing]

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """The ones that are not held."""
        missing = await self._index.find_missing(hashes)
        # In the order of the question, which may be that of the index.
        return (
            await self._packs.find_missing([blob for blob in hashes if blob in missing])
            if missing
            else missing
        )

    async def packed(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """Those that stand in packs."""
        return set(hashes) - await self._packs.find_missing(hashes)

    async def find(self, hashes: Collection[BlobHash]) -> dict[BlobHash, BlobRecord]:
        """The records of those that are held."""
        found = await self._index.find(hashes)
        packed = await self._packs.find(set(hashes) - found.keys())
        return found | {
            blob: BlobRecord(hash=blob, size_bytes=place.member.size_bytes, sha256=place.member.sha256)
            for blob, place in packed.items()
        }
