"""Find out what has gone from the bucket behind our back, as `dvc gc --cloud` makes it go, and forget it."""

import asyncio
from collections.abc import Collection

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.errors import BlobMissing, InvalidInput
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.event_log import EventLog
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.forget_blobs import ForgetBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.reconcile_packs import ReconcilePacks


class FindVanished:
    """Compares what the index says with the bucket, for some blobs."""

    def __init__(
        self,
        *,
        adopt: AdoptBlobs,
        forget: ForgetBlobs,
        index: BlobIndex,
        packs: ReconcilePacks,
        sources: FindSources,
        read: ReadBlobs,
        log: EventLog,
    ) -> None:
        """Ask the bucket through `adopt` and `packs`, and of trees `read`; tell in `log` what was forgotten.

        What stands in packs is known to `sources`.
        """
        self._packs = packs
        self._sources = sources
        self._adopt = adopt
        self._forget = forget
        self._index = index
        self._read = read
        self._log = log
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """Those that are not in the bucket, or are trees with a member that is not. None of them is held after it."""
        async with self._one_at_a_time:
            members = {blob: await self._members(blob) for blob in hashes if blob.endswith(TREE_SUFFIX)}
            everything = set(hashes).union(*members.values())
            await self._packs.forget_vanished()
            packed = await self._sources.packed(everything)
            loose = everything - (packed & await self._index.find_missing(packed))
            absent = loose - (await self._adopt.sizes_in_bucket(loose)).keys()
            if not absent:
                return set()
            believed = absent - await self._index.find_missing(absent)
            await self._forget.vanished(absent)
            if believed:
                self._log.warning("blobs have gone from the bucket", blobs=len(believed), first=min(believed))
            # What stands in a pack too can be read. That it has no object of its own any more is forgotten all the same.
            gone = absent - packed
            return {blob for blob in hashes if blob in gone or not absent.isdisjoint(members.get(blob, ()))}

    async def _members(self, tree: BlobHash) -> frozenset[BlobHash]:
        """What it lists, as far as anybody can tell."""
        try:
            return (await self._read.read_tree(tree)).hashes()
        except (BlobMissing, InvalidInput):
            return frozenset()
