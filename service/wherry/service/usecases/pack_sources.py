"""Put small files of projects into the bucket many at a time, in packs (docs/decisions/0024)."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.errors import hash_collision
from wherry.service.domain.limits import PACK_BYTES_MAX, PACK_MEMBERS_MAX, PACKED_BYTES_MAX
from wherry.service.domain.pack import Pack, make_pack, pack_key
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.packs import PackIndex
from wherry.service.usecases.find_sources import FindSources

# Room is left for the list at the beginning, and for the last body.
PACK_CLOSED_AT_BYTES = PACK_BYTES_MAX // 2


@dataclass(frozen=True, slots=True)
class SourceBody:
    """The content of a small file, compared with its MD5."""

    hash: BlobHash
    sha256: str
    content: bytes


def is_packed(blob: BlobHash, size_bytes: int) -> bool:
    """Whether a file of a project goes into a pack."""
    return size_bytes <= PACKED_BYTES_MAX and not blob.endswith(TREE_SUFFIX)


class PackSources:
    """Stores small files: the pack first, then the index, so that what it says is true."""

    def __init__(self, *, objects: ObjectStore, packs: PackIndex, sources: FindSources) -> None:
        """Put packs into `objects`, of what `sources` does not find, and record them in `packs`."""
        self._objects = objects
        self._packs = packs
        self._sources = sources

    async def __call__(self, bodies: Iterable[SourceBody]) -> None:
        """Return when all of them are held.

        Raises:
            HashCollision: if one is held with another content.
        """
        by_hash = {body.hash: body for body in bodies}
        held = await self._sources.find(by_hash.keys())
        for blob, record in held.items():
            if record.sha256 not in {None, by_hash[blob].sha256}:
                raise hash_collision(blob, record.sha256, by_hash[blob].sha256)
        new = [body for blob, body in by_hash.items() if blob not in held]
        for part in _cut(new):
            pack = await asyncio.to_thread(
                make_pack, [(body.hash, body.sha256, body.content) for body in part]
            )
            await self._put(pack)

    async def _put(self, pack: Pack) -> None:
        key = pack_key(pack.name)
        # Named by what is in it: whoever puts it again puts the same.
        await self._objects.put(key, pack.content, md5=_md5(pack.content))
        if not await self._packs.add(pack.name, len(pack.content), pack.members):
            # Somebody else was quicker with each of them.
            await self._objects.delete(key)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _cut(bodies: Iterable[SourceBody]) -> Iterator[list[SourceBody]]:
    """In the order given: what is read together was sent together."""
    part: list[SourceBody] = []
    size = 0
    for body in bodies:
        part.append(body)
        size += len(body.content)
        if size >= PACK_CLOSED_AT_BYTES or len(part) == PACK_MEMBERS_MAX:
            yield part
            part, size = [], 0
    if part:
        yield part
