"""Make blobs no longer held, and with them every tree that lists one: the index never says of a tree what is not so."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, object_key
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.tree import parse_tree
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.objects import ObjectStore

_PAGE = 10_000

# Trees read at once.
_AT_ONCE = 16


class ForgetBlobs:
    """Takes blobs out of the index, and out of the bucket what must not be believed by others.

    DVC believes that the members of a tree in the bucket are there too, and would not push them.
    """

    def __init__(self, *, objects: ObjectStore, index: BlobIndex) -> None:
        """Forget what `index` knows and `objects` has."""
        self._objects = objects
        self._index = index

    async def all_known(self) -> AsyncIterator[BlobHash]:
        """Every blob that the index knows."""
        page = await self._index.list_hashes(limit=_PAGE)
        while page:
            for blob in page:
                yield blob
            page = await self._index.list_hashes(after=page[-1], limit=_PAGE)

    async def vanished(self, gone: Collection[BlobHash]) -> None:
        """Forget blobs that are not in the bucket any more; the trees that list one go from the bucket too."""
        await self._index.remove(gone)
        trees = await self.trees_with(gone)
        # Looking through all trees takes a while: what made a member may have made it again.
        still = await self._index.find_missing(set(trees.values()))
        await self.remove([tree for tree, lost in trees.items() if lost in still])

    async def trees_with(self, gone: Collection[BlobHash]) -> dict[BlobHash, BlobHash]:
        """Every tree that the index knows and that lists one of these, with the first of them."""
        if all(blob.endswith(TREE_SUFFIX) for blob in gone):
            return {}
        wanted, found = frozenset(gone), dict[BlobHash, BlobHash]()
        trees = [blob async for blob in self.all_known() if blob.endswith(TREE_SUFFIX) and blob not in wanted]
        for start in range(0, len(trees), _AT_ONCE):
            part = trees[start : start + _AT_ONCE]
            contents = await asyncio.gather(*(self._objects.get(object_key(tree)) for tree in part))
            for tree, data in zip(part, contents, strict=True):
                lost = await asyncio.to_thread(_listed, data, wanted) if data else None
                if lost:
                    found[tree] = min(lost)
        return found

    async def remove(self, hashes: Sequence[BlobHash]) -> None:
        """The bucket first: as long as the index says that it is held, nobody stores it anew."""
        for blob in hashes:
            await self._objects.delete(object_key(blob))
        await self._index.remove(hashes)


def _listed(tree: bytes, wanted: frozenset[BlobHash]) -> frozenset[BlobHash]:
    try:
        return parse_tree(tree).hashes() & wanted
    except InvalidInput:
        return frozenset()  # somebody damaged it: a check of the store says so
