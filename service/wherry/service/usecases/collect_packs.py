"""Clear packs away: those in which nobody looks for anything, and those that are mostly dead or very short."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.limits import PACK_MEMBERS_MAX
from wherry.service.domain.pack import is_intact, make_pack, pack_key
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.packs import PackIndex, PackState
from wherry.service.usecases.pack_sources import PACK_CLOSED_AT_BYTES
from wherry.service.usecases.reconcile_packs import ReconcilePacks

# A pack is made anew when less than half of it counts.
_DEAD_SHARE = 0.5

# What a member takes in the list at the beginning, a little less than it does.
_LISTED_BYTES = 100

# Every submission with a changed file makes a short pack. So many of them are made into one.
_SHORT_BYTES = PACK_CLOSED_AT_BYTES // 8
_SHORT_PACKS_MIN = 8


@dataclass(frozen=True, slots=True)
class UnusedSources:
    """Packed blobs that were of no use for long."""

    blobs: int
    bytes: int


NO_SOURCES = UnusedSources(0, 0)


class CollectPacks:
    """Works on the packs that are there when it begins."""

    def __init__(self, *, objects: ObjectStore, packs: PackIndex, reconcile: ReconcilePacks) -> None:
        """Delete from `objects` what `packs` does not need, after `reconcile` has compared the two."""
        self._objects = objects
        self._packs = packs
        self._reconcile = reconcile

    async def measure(self, cutoff: datetime, kept: Collection[BlobHash]) -> UnusedSources:
        """What `drop` would drop."""
        unused = [use for use in await self._packs.list_unused(cutoff) if use.hash not in kept]
        return UnusedSources(len(unused), sum(use.size_bytes for use in unused))

    async def drop(self, cutoff: datetime, kept: Collection[BlobHash]) -> UnusedSources:
        """Look no more for what was of no use since then."""
        unused = [use for use in await self._packs.list_unused(cutoff) if use.hash not in kept]
        await self._packs.remove({use.hash for use in unused})
        return UnusedSources(len(unused), sum(use.size_bytes for use in unused))

    async def tidy(self) -> None:
        """Delete packs that are dead, and make new ones of what counts in those that should not stay."""
        for name in await self._reconcile():
            await self._objects.delete(pack_key(name))
        known = await self._packs.list_packs()
        dead = [pack for pack in known if not pack.members]
        alive = [pack for pack in known if pack.members]
        # The index first: what nobody looks for may go at any time, and what is left over is found the next time.
        await self._packs.forget([pack.name for pack in dead])
        for pack in dead:
            await self._objects.delete(pack_key(pack.name))
        for group in _groups(alive):
            await self._make_anew(group)

    async def _make_anew(self, group: Sequence[PackState]) -> None:
        bodies: list[tuple[BlobHash, str, bytes]] = []
        for pack in group:
            members = await self._packs.members_of(pack.name)
            content = await self._objects.get(pack_key(pack.name))
            if content is None:
                return  # gone meanwhile: whoever compares the next time says so
            for place in members:
                body = place.member.content_in(content)
                if is_intact(place.member, body):
                    bodies.append((place.member.hash, place.member.sha256, body))
        if not bodies:
            return  # all of it is damaged, which a check of the store says
        new = await asyncio.to_thread(make_pack, bodies)
        await self._objects.put(pack_key(new.name), new.content)
        old = {pack.name for pack in group} - {new.name}
        await self._packs.move(new.name, len(new.content), new.members, out_of=old)
        for name in sorted(old):
            await self._objects.delete(pack_key(name))


def _groups(packs: Sequence[PackState]) -> Iterator[list[PackState]]:
    """Packs that become one."""
    wasted = [
        pack
        for pack in packs
        if pack.members_bytes + pack.members * _LISTED_BYTES < pack.size_bytes * _DEAD_SHARE
    ]
    short = [pack for pack in packs if pack.size_bytes < _SHORT_BYTES and pack not in wasted]
    group: list[PackState] = []
    for pack in [*wasted, *(short if len(short) >= _SHORT_PACKS_MIN else ())]:
        size = sum(each.members_bytes for each in group) + pack.members_bytes
        count = sum(each.members for each in group) + pack.members
        if group and (size > PACK_CLOSED_AT_BYTES or count > PACK_MEMBERS_MAX):
            yield group
            group = []
        group.append(pack)
    if group:
        yield group
