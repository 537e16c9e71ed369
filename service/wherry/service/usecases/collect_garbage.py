"""Forget results that nobody used for long, and delete the content that only they hold.

The store is a DVC remote that others push to. So what the index does not know is never touched, and what no stage
computed, which only its owner could bring back, only on demand. Everything else a run makes again.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, object_key
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.task import StrictKey
from wherry.service.domain.tree import parse_tree
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.clock import Clock
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.result_catalog import ListedResult, ResultCatalog
from wherry.service.ports.runs import RunStore
from wherry.service.usecases.collect_packs import NO_SOURCES, CollectPacks
from wherry.service.usecases.forget_blobs import ForgetBlobs

_RESULTS_PAGE = 500
_BLOBS_PAGE = 10_000
# Blobs deleted between two looks at what has come into use meanwhile.
_BATCH = 500
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """How far a collection is."""

    results: int
    blobs: int
    bytes: int
    total_blobs: int


@dataclass(slots=True, kw_only=True)
class _Sorted:
    """Results, sorted into those that stay and those that go."""

    expired: list[StrictKey] = field(default_factory=list)
    kept: set[BlobHash] = field(default_factory=set)
    """Content that must stay."""
    loose: set[BlobHash] = field(default_factory=set)
    """Outputs of results that go."""


class CollectGarbage:
    """Works on what is there when it begins; what comes into use meanwhile stays."""

    def __init__(
        self,
        *,
        catalog: ResultCatalog,
        runs: RunStore,
        objects: ObjectStore,
        index: BlobIndex,
        packs: CollectPacks,
        clock: Clock,
    ) -> None:
        """Go through `catalog`, spare what `runs` that are going on need, read trees from `objects`.

        Files of projects in `packs` are inputs, as those with objects of their own.
        """
        self._packs = packs
        self._catalog = catalog
        self._runs = runs
        self._objects = objects
        self._index = index
        self._forget = ForgetBlobs(objects=objects, index=index)
        self._clock = clock

    async def __call__(self, unused: timedelta, *, inputs: bool, dry: bool) -> AsyncIterator[Collected]:
        """Collect what was of no use for so long; tells how it goes, at least once at the end.

        With `inputs` also content that no stage computed. With `dry` nothing is changed.
        """
        if unused < timedelta(0):
            raise InvalidInput("what was used in the future cannot be collected")
        cutoff = self._clock.now() - unused
        known_trees = await self._trees()
        found = await self._sort(cutoff)
        found.kept |= await self._in_use()
        doomed = await self._doomed(found, cutoff, inputs=inputs)
        sizes = {blob: use.size_bytes for blob, use in (await self._catalog.uses(doomed)).items()}
        sources = await self._packs.measure(cutoff, found.kept) if inputs else NO_SOURCES
        total = Collected(
            results=len(found.expired),
            blobs=len(sizes) + sources.blobs,
            bytes=sum(sizes.values()) + sources.bytes,
            total_blobs=len(sizes) + sources.blobs,
        )
        if dry:
            yield total
            return
        await self._catalog.remove(found.expired)
        yield Collected(results=total.results, blobs=0, bytes=0, total_blobs=total.blobs)
        # Trees first: DVC believes that the members of a tree in the bucket are there too.
        order = sorted(sizes, key=lambda blob: (not blob.endswith(TREE_SUFFIX), blob))
        blobs, size = 0, 0
        for start in range(0, len(order), _BATCH):
            batch = await self._still_unused(order[start : start + _BATCH], cutoff, known_trees)
            await self._delete(batch)
            blobs, size = blobs + len(batch), size + sum(sizes[blob] for blob in batch)
            yield Collected(results=total.results, blobs=blobs, bytes=size, total_blobs=total.blobs)
        if inputs:
            dropped = await self._packs.drop(cutoff, found.kept)
            blobs, size = blobs + dropped.blobs, size + dropped.bytes
        await self._packs.tidy()
        yield Collected(results=total.results, blobs=blobs, bytes=size, total_blobs=total.blobs)

    async def _sort(self, cutoff: datetime) -> _Sorted:
        found, alive, stale = _Sorted(), set[StrictKey](), defaultdict[StrictKey, set[BlobHash]](set)
        after: tuple[datetime, StrictKey] | None = None
        while page := await self._catalog.list_page(after=after, limit=_RESULTS_PAGE):
            uses = await self._catalog.uses({out.hash for one in page for out in one.result.entry.outs})
            for one in page:
                outs = {out.hash for out in one.result.entry.outs}
                used = [uses[blob].used_at for blob in outs if blob in uses]
                # What a stage passes on unchanged is an input, and may be known to nobody else.
                found.kept |= outs & {dep.hash for dep in one.result.entry.deps}
                if one.pinned or max([one.result.created_at, *used]) >= cutoff:
                    found.kept |= outs
                    alive.add(one.result.key)
                else:
                    stale[one.result.key] |= outs
            after = _position(page[-1])
        # Results of one key, which differ in what was read undeclared, go together.
        for key, outs in stale.items():
            if key in alive:
                found.kept |= outs
            else:
                found.expired.append(key)
                found.loose |= outs
        return found

    async def _in_use(self) -> set[BlobHash]:
        return {
            record.hash
            for run in await self._runs.list_active()
            for stage in run.stages.values()
            for record in (*stage.deps, *stage.outs)
        }

    async def _doomed(self, found: _Sorted, cutoff: datetime, *, inputs: bool) -> set[BlobHash]:
        """What is to be deleted: unused, and no part of anything that stays."""
        loose = found.loose - found.kept
        if inputs:
            loose |= {blob async for blob in self._unused(cutoff)} - found.kept
        else:
            loose |= await self._members(blob for blob in loose if blob.endswith(TREE_SUFFIX))
        uses = await self._catalog.uses(loose)
        loose = {blob for blob, use in uses.items() if use.used_at < cutoff} - found.kept
        return loose - await self._members(await self._trees() - loose)

    async def _trees(self) -> set[BlobHash]:
        return {blob async for blob in self._forget.all_known() if blob.endswith(TREE_SUFFIX)}

    async def _unused(self, cutoff: datetime) -> AsyncIterator[BlobHash]:
        page = await self._catalog.list_uses(limit=_BLOBS_PAGE)
        while page:
            for use in page:
                if use.used_at < cutoff:
                    yield use.hash
            page = await self._catalog.list_uses(after=page[-1].hash, limit=_BLOBS_PAGE)

    async def _members(self, trees: Iterable[BlobHash]) -> set[BlobHash]:
        """The blobs that trees list; one that is damaged or gone lists none."""
        members, wanted = set[BlobHash](), list(trees)
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            for data in await asyncio.gather(*(self._objects.get(object_key(tree)) for tree in part)):
                members |= await asyncio.to_thread(_listed, data)
        return members

    async def _still_unused(
        self, batch: Sequence[BlobHash], cutoff: datetime, known_trees: set[BlobHash]
    ) -> list[BlobHash]:
        """Leave out what has come into use since the collection began, also by trees that are new."""
        new = await self._trees() - known_trees
        known_trees |= new
        taken = await self._members(new)
        uses = await self._catalog.uses(batch)
        return [blob for blob in batch if blob in uses and uses[blob].used_at < cutoff and blob not in taken]

    async def _delete(self, batch: Collection[BlobHash]) -> None:
        blobs = list(batch)
        for start in range(0, len(blobs), _AT_ONCE):
            part = blobs[start : start + _AT_ONCE]
            # The bucket first, as ForgetBlobs does: meanwhile nobody stores it anew.
            await asyncio.gather(*(self._objects.delete(object_key(blob)) for blob in part))
            await self._index.remove(part)


def _position(listed: ListedResult) -> tuple[datetime, StrictKey]:
    return listed.result.created_at, listed.result.key


def _listed(tree: bytes | None) -> frozenset[BlobHash]:
    if not tree:
        return frozenset()
    try:
        return parse_tree(tree).hashes()
    except InvalidInput:
        return frozenset()
