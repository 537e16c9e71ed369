"""Read what stands in packs; forget packs that have gone from the bucket."""

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.pack import pack_key
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.packs import PackedBlob, PackIndex, PackReader


class ReadPacks(PackReader):
    """Reads from the bucket where the index says."""

    def __init__(self, *, objects: ObjectStore, packs: PackIndex, log: EventLog) -> None:
        """Tell in `log` what was forgotten."""
        self._objects = objects
        self._packs = packs
        self._log = log

    async def locate(self, blob: BlobHash) -> PackedBlob | None:
        """See the port."""
        if blob.endswith(TREE_SUFFIX):
            return None
        return (await self._packs.find([blob])).get(blob)

    async def read(self, place: PackedBlob) -> bytes | None:
        """See the port."""
        member = place.member
        if not member.size_bytes:
            return b""
        content = await self._objects.get_range(pack_key(place.pack), member.offset, member.size_bytes)
        if content is None:
            await self._forget(place.pack)
        return content

    async def read_whole(self, pack: str) -> bytes | None:
        """See the port."""
        content = await self._objects.get(pack_key(pack))
        if content is None:
            await self._forget(pack)
        return content

    async def _forget(self, pack: str) -> None:
        # Then the next submission asks for what was in it. One that was merged into another is forgotten already.
        lost = await self._packs.forget([pack])
        if lost:
            self._log.warning("a pack of files of projects has gone from the bucket", pack=pack, blobs=lost)
