"""Compare the packs in the bucket with those in the index: one may have gone, the other may have been lost."""

import asyncio
import contextlib
from datetime import timedelta

from wherry.service.domain.errors import HashCollision, InvalidInput, WherryError
from wherry.service.domain.limits import PACK_BYTES_MAX
from wherry.service.domain.pack import PACKS_FOLDER, PackMember, is_intact, is_pack_name, pack_key, read_pack
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.objects import ListedObject, ObjectStore
from wherry.service.ports.packs import PackIndex

# Another service may have put it there, and be about to record it.
_YOUNG = timedelta(hours=1)


class ReconcilePacks:
    """Forgets packs that are not in the bucket, and takes in those that only the bucket has.

    Only the bucket has a pack when a service was killed before it recorded it, and when the database was lost.
    """

    def __init__(self, *, objects: ObjectStore, packs: PackIndex, clock: Clock, log: EventLog) -> None:
        """Compare `packs` with `objects`; tell in `log` what was done."""
        self._objects = objects
        self._packs = packs
        self._clock = clock
        self._log = log
        self._working: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Compare behind everybody's back; what is not known yet is asked for meanwhile, which does no harm."""
        self._working = asyncio.create_task(self._work(), name="reconcile packs")

    async def close(self) -> None:
        """Give up what was begun."""
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working

    async def __call__(self) -> list[str]:
        """Compare, both ways; return the packs in which nobody will look for anything, which may be deleted."""
        await self.forget_vanished()
        return await self.take_in_unknown()

    async def take_in_unknown(self) -> list[str]:
        """Take in what only the bucket has; return what is of no use, as above."""
        listed = await self._listed()
        known = {pack.name for pack in await self._packs.list_packs()}
        return [
            name
            for name in sorted(listed.keys() - known)
            if not await self._take_in(name, listed[name].size_bytes) and self._is_old(listed[name])
        ]

    async def forget_vanished(self) -> None:
        """Forget what has gone from the bucket."""
        # In this order: what is known now was in the bucket before.
        known = {pack.name for pack in await self._packs.list_packs()}
        if known:
            await self._forget(known - (await self._listed()).keys())

    async def _work(self) -> None:
        try:
            await self()
        except WherryError as exc:
            self._log.warning("the packs of the bucket were not looked at", reason=exc.message)

    async def _listed(self) -> dict[str, ListedObject]:
        found = await self._objects.list_objects(PACKS_FOLDER)
        names = {item.key.removeprefix(PACKS_FOLDER): item for item in found}
        return {name: item for name, item in names.items() if is_pack_name(name)}

    async def _forget(self, gone: set[str]) -> None:
        if gone:
            lost = await self._packs.forget(gone)
            self._log.warning("packs have gone from the bucket", packs=len(gone), blobs=lost)

    async def _take_in(self, name: str, size_bytes: int) -> bool:
        """Whether anything is looked for in it from now on."""
        content = await self._objects.get(pack_key(name)) if size_bytes <= PACK_BYTES_MAX else None
        members = await asyncio.to_thread(_intact_members, content) if content is not None else ()
        if content is None or not members:
            return False
        try:
            taken = await self._packs.add(name, len(content), members)
        except HashCollision as exc:
            self._log.warning("a pack of the bucket was not taken in", pack=name, reason=exc.message)
            return False
        if taken:
            self._log.info("a pack of the bucket was taken in", pack=name, blobs=len(taken))
        return bool(taken)

    def _is_old(self, item: ListedObject) -> bool:
        return self._clock.now() - item.modified_at > _YOUNG


def _intact_members(content: bytes) -> tuple[PackMember, ...]:
    """What is in a pack as it says; nothing of what is no pack."""
    try:
        members = read_pack(content)
    except InvalidInput:
        return ()
    return tuple(member for member in members if is_intact(member, member.content_in(content)))
