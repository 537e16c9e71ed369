"""Read packs again, and look no more for what is not in them as it should be: the next submission asks for it."""

import asyncio
from collections.abc import Sequence

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.findings import BlobFault, FaultKind
from wherry.service.domain.pack import is_intact, pack_key
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.packs import PackedBlob, PackIndex
from wherry.service.usecases.reconcile_packs import ReconcilePacks


class CheckPacks:
    """Checks packs one by one."""

    def __init__(self, *, objects: ObjectStore, packs: PackIndex, reconcile: ReconcilePacks) -> None:
        """Read `objects` and compare with `packs`, after `reconcile` has taken in what only the bucket had."""
        self._objects = objects
        self._packs = packs
        self._reconcile = reconcile

    async def names(self) -> list[str]:
        """All that can be checked. What has gone from the bucket is among them, and told when it is checked."""
        names = [pack.name for pack in await self._packs.list_packs() if pack.members]
        await self._reconcile.take_in_unknown()
        later = {pack.name for pack in await self._packs.list_packs() if pack.members}
        return sorted({*names, *later})

    async def __call__(self, name: str) -> tuple[int, list[BlobFault]]:
        """Check a pack: how many bytes were read, and what was wrong, which is no longer held."""
        members = await self._packs.members_of(name)
        content = await self._objects.get(pack_key(name))
        if content is None:
            lost = await self._packs.forget([name])
            said = f"is not in the bucket; {lost} files of projects were in it, which are asked for again"
            return 0, [BlobFault(BlobHash(name), FaultKind.MISSING, said)] if lost else []
        damaged = await asyncio.to_thread(_damaged, members, content)
        await self._packs.remove(damaged)
        said = f"is not in the pack {name} as it was put there; it is asked for again"
        return len(content), [BlobFault(blob, FaultKind.DAMAGED, said) for blob in damaged]


def _damaged(members: Sequence[PackedBlob], content: bytes) -> list[BlobHash]:
    return [
        place.member.hash
        for place in members
        if not is_intact(place.member, place.member.content_in(content))
    ]
