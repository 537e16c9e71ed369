"""What the node's own copy reads out of packs: first one file of a pack, and when a second is wanted all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.errors import DISK_FULL, InvalidInput, blob_damaged
from wherry.service.domain.pack import read_pack
from wherry.service.ports.packs import PackedBlob, PackReader

# So short a pack is read whole at once: it takes no longer than a part of it.
_SHORT_BYTES = 256 * 1024

# Packs of which a file was read lately.
_REMEMBERED_MAX = 256

# Packs in memory.
_WHOLE_AT_ONCE = 2


class PackedFiles:
    """Fetches what stands in packs. A project is laid out as a whole, so whoever wants two files wants all."""

    def __init__(
        self,
        packs: PackReader,
        *,
        keep: Callable[[Iterable[tuple[BlobHash, bytes]]], Awaitable[None]],
        holds: Callable[[BlobHash], bool],
    ) -> None:
        """`keep` puts contents in place, those that are what their names say; `holds` says what is in place."""
        self._packs = packs
        self._keep = keep
        self._holds = holds
        self._touched: dict[str, None] = {}
        self._unpacking: dict[str, asyncio.Task[None]] = {}
        self._gate = asyncio.Semaphore(_WHOLE_AT_ONCE)

    async def fetch(self, blob: BlobHash) -> bool:
        """See that a blob is in place; False if it stands in no pack.

        Raises:
            BlobMissing: if the pack has something else where the blob should be.
        """
        place = await self._packs.locate(blob)
        while place is not None:
            if self._is_wanted_whole(place):
                await self._unpack_once(place.pack)
                if self._holds(blob):
                    return True
            content = await self._packs.read(place)
            if content is not None:
                if hash_content(content) != blob:
                    raise blob_damaged(blob, hash_content(content))
                await self._keep([(blob, content)])
                return True
            # The pack has gone: lost, or merged into another, where it is found now.
            before, place = place, await self._packs.locate(blob)
            if place is not None and place.pack == before.pack:
                return False
        return False

    def _is_wanted_whole(self, place: PackedBlob) -> bool:
        if place.pack_bytes <= _SHORT_BYTES or place.pack in self._touched:
            return True
        if len(self._touched) >= _REMEMBERED_MAX:
            del self._touched[next(iter(self._touched))]
        self._touched[place.pack] = None
        return False

    async def _unpack_once(self, pack: str) -> None:
        unpacking = self._unpacking.get(pack)
        if unpacking is None:
            unpacking = self._unpacking[pack] = asyncio.create_task(self._unpack(pack))
            unpacking.add_done_callback(lambda _: self._unpacking.pop(pack, None))
        # Shielded: others wait for it too.
        await asyncio.shield(unpacking)

    async def _unpack(self, pack: str) -> None:
        async with self._gate:
            content = await self._packs.read_whole(pack)
            if content is None:
                return
            try:
                members = read_pack(content)
                await self._keep((member.hash, member.content_in(content)) for member in members)
            except InvalidInput:
                return  # whoever reads a part of it says that it is damaged
            except OSError as exc:
                if exc.errno not in DISK_FULL:
                    raise
                # For one file there may be room still.
