"""Find blobs that others put into the bucket, such as a laptop's `dvc push`, and record them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from math import ceil

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, object_key
from wherry.service.domain.errors import BlobMissing, InvalidInput
from wherry.service.domain.limits import TREE_BYTES_MAX
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.read_blobs import ReadBlobs

# Requests under way at once for one question. The bucket's threads are those of uploads too.
_AT_ONCE = 8

# Keys asked for at once: few while the wanted lie far apart, as many as S3 gives when they stand close.
_PAGE_MIN = 20
_PAGE_MAX = 1000
_PAGE_GROWTH = 4

_BLOBS = "files/md5/"


Unpack = Callable[[Collection[BlobHash]], Awaitable[set[BlobHash]]]


async def _unpack_nothing(_: Collection[BlobHash]) -> set[BlobHash]:
    return set()


class AdoptBlobs:
    """Asks the index what is held, and the bucket once about the rest. For content that others may have stored.

    That is data named by .dvc files and locks, and results. A project's own files reach the bucket through the
    service alone: of them the index knows all, and asking the bucket would be in vain.
    """

    def __init__(
        self, *, index: BlobIndex, objects: ObjectStore, read: ReadBlobs, unpack: Unpack = _unpack_nothing
    ) -> None:
        """Record in `index` what is found in `objects`; read trees through `read`.

        `unpack` stores, of blobs that are nowhere else, those that are in packs, and says which.
        """
        self._unpack = unpack
        self._index = index
        self._objects = objects
        self._read = read

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """The ones that are not held. What only the bucket knew is recorded, a tree when all its members are held.

        An index that knows them all costs the bucket no request. Else there are at most as many as unknown blobs,
        and when these are many, as many as it takes to list the bucket.
        """
        missing = await self._index.find_missing(hashes)
        if not missing:
            return missing
        missing = missing - await self._unpack(missing)
        sizes = await self.sizes_in_bucket(missing)
        trees = await self._members(
            blob for blob, size in sizes.items() if blob.endswith(TREE_SUFFIX) and size <= TREE_BYTES_MAX
        )
        members = set[BlobHash]().union(*trees.values())
        unknown = await self._index.find_missing(members - sizes.keys())
        sizes |= await self.sizes_in_bucket(unknown)
        absent = unknown - sizes.keys()
        files = [blob for blob in sizes if not blob.endswith(TREE_SUFFIX)]
        whole = [blob for blob, inside in trees.items() if absent.isdisjoint(inside)]
        # Members before trees: the index never says of a tree what is not so.
        for found in (files, whole):
            await self._index.add(
                BlobRecord(hash=blob, size_bytes=sizes[blob], sha256=None) for blob in found
            )
        return missing.difference(files, whole)

    async def sizes_in_bucket(self, wanted: Collection[BlobHash]) -> dict[BlobHash, int]:
        """Sizes of those that are in the bucket, whatever the index says."""
        ordered = sorted(wanted, key=object_key)
        length = max(1, ceil(len(ordered) / _AT_ONCE))
        parts = [ordered[start : start + length] for start in range(0, len(ordered), length)]
        found: dict[BlobHash, int] = {}
        for sizes in await asyncio.gather(*(self._scan(part) for part in parts)):
            found |= sizes
        return found

    async def _scan(self, wanted: Sequence[BlobHash]) -> dict[BlobHash, int]:
        """List from one wanted blob to the next, in order of keys, leaping over what lies between.

        Every request settles at least one of them.
        """
        found: dict[BlobHash, int] = {}
        position, limit = 0, _PAGE_MIN
        while position < len(wanted):
            # Just before the key, for the listing begins after what it is given.
            after = object_key(wanted[position])[:-1]
            page = await self._objects.list_page(_BLOBS, after=after, limit=limit)
            sizes = {listed.key: listed.size_bytes for listed in page.objects}
            end = None if page.is_last else max(page.objects[-1].key, object_key(wanted[position]))
            begin = position
            while position < len(wanted) and (end is None or object_key(wanted[position]) <= end):
                key = object_key(wanted[position])
                if key in sizes:
                    found[wanted[position]] = sizes[key]
                position += 1
            limit = min(_PAGE_MAX, limit * _PAGE_GROWTH) if position > begin + 1 else _PAGE_MIN
        return found

    async def _members(self, blobs: Iterable[BlobHash]) -> dict[BlobHash, frozenset[BlobHash]]:
        """What the trees among them list; anything else under such a name is left out."""
        trees = list(blobs)
        listed = await asyncio.gather(*(self._members_of(blob) for blob in trees))
        return {blob: inside for blob, inside in zip(trees, listed, strict=True) if inside is not None}

    async def _members_of(self, blob: BlobHash) -> frozenset[BlobHash] | None:
        try:
            inside = (await self._read.read_tree(blob)).hashes()
        except (BlobMissing, InvalidInput):
            return None
        return None if any(member.endswith(TREE_SUFFIX) for member in inside) else inside
