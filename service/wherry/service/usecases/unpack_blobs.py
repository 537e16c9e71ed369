"""Give what stands in packs objects of its own, when it becomes more than a file of a project."""

from collections.abc import Collection

from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.ports.packs import PackIndex, PackReader
from wherry.service.usecases.put_blobs import PutBlobs


class UnpackBlobs:
    """Copies out of packs what is wanted as an output, as data or as a member of a tree."""

    def __init__(self, *, packs: PackIndex, reader: PackReader, put: PutBlobs) -> None:
        """Find in `packs`, read through `reader`, store through `put`."""
        self._packs = packs
        self._reader = reader
        self._put = put

    async def __call__(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """Those of them that have objects of their own now. The others are in no pack, or damaged there."""
        unpacked = set()
        for blob, place in (await self._packs.find(hashes)).items():
            content = await self._reader.read(place)
            if content is not None and hash_content(content) == blob:
                await self._put.put_content(content)
                unpacked.add(blob)
        return unpacked
