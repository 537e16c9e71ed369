"""Find data that DVC 2 pushed to the root of the remote, and take it over under the hash of its content.

What DVC 2 calls a file need not be the MD5 of it, so each file is read once, and compared with its name.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, Digest, hash_content, legacy_object_key
from wherry.service.domain.dvc.legacy_hash import READ_BYTES, LegacyHasher
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.limits import LEGACY_ADOPTED_BYTES_MAX, TREE_BYTES_MAX
from wherry.service.domain.tree import Tree, TreeEntry, parse_tree
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.put_blobs import LocalBlob, PutBlobs

# Two hashes and their places in memory are about 250 bytes.
_REMEMBERED_MAX = 200_000

# Files under way at once. The bucket's threads are those of uploads too.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class LegacyContent:
    """What a file is called, by all who may call it."""

    digest: Digest
    sha256: str
    legacy: BlobHash


class AdoptLegacy:
    """Looks for what is recorded under hashes of DVC 2 and not held under these."""

    def __init__(self, *, objects: ObjectStore, index: BlobIndex, put: PutBlobs, spool: Path) -> None:
        """Read from `objects` into `spool`; keep through `put`, as `index` then says."""
        self._objects = objects
        self._index = index
        self._put = put
        self._spool = spool
        self._known: dict[BlobHash, BlobHash] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, names: Collection[BlobHash]) -> Mapping[BlobHash, BlobHash]:
        """By hash of DVC 2, that of the content, which is held now; what is nowhere, or something else, is left out."""
        found: dict[BlobHash, BlobHash] = {}
        for name in dict.fromkeys(names):
            known = await self._remembered(name)
            own = known or (await (self._tree(name) if name.endswith(TREE_SUFFIX) else self._file(name)))
            if own is not None:
                found[name] = own
        self._remember(found)
        return found

    async def _remembered(self, name: BlobHash) -> BlobHash | None:
        own = self._known.get(name)
        return None if own is None or await self._index.find_missing({own}) else own

    async def _file(self, name: BlobHash) -> BlobHash | None:
        size = await self._size(name)
        return None if size is None or size > LEGACY_ADOPTED_BYTES_MAX else await self._take_over(name)

    async def _tree(self, name: BlobHash) -> BlobHash | None:
        size = await self._size(name)
        if size is None or size > TREE_BYTES_MAX:
            return None
        data = await self._objects.get(legacy_object_key(name))
        if data is None or hash_content(data) != name.removesuffix(TREE_SUFFIX):
            return None
        try:
            tree = parse_tree(data)
        except InvalidInput:
            return None
        members = await self._members(tree.hashes())
        if members is None:
            return None
        own = Tree.of(TreeEntry(entry.path, members[entry.hash]) for entry in tree.entries)
        return (await self._put.put_tree(own.to_bytes())).hash

    async def _members(self, names: Iterable[BlobHash]) -> dict[BlobHash, BlobHash] | None:
        """Take over the files of a folder: all, or none are told."""
        wanted = list(names)
        if any(name.endswith(TREE_SUFFIX) for name in wanted):
            return None
        known = {name: own for name in wanted if (own := await self._remembered(name))}
        unknown = [name for name in wanted if name not in known]
        sizes = await asyncio.gather(*map(self._size, unknown))
        if None in sizes or sum(filter(None, sizes)) > LEGACY_ADOPTED_BYTES_MAX:
            return None
        for name, own in zip(unknown, await asyncio.gather(*map(self._take_over, unknown)), strict=True):
            if own is None:
                return None
            known[name] = own
        self._remember(known)
        return known

    async def _size(self, name: BlobHash) -> int | None:
        key = legacy_object_key(name)
        async with self._gate:
            page = await self._objects.list_page(key, limit=1)
        return next((listed.size_bytes for listed in page.objects if listed.key == key), None)

    async def _take_over(self, name: BlobHash) -> BlobHash | None:
        async with self._gate:
            with tempfile.TemporaryDirectory(dir=self._spool, prefix="old-") as folder:
                copy = Path(folder) / "content"
                if not await self._objects.get_file(legacy_object_key(name), copy):
                    return None
                read = await asyncio.to_thread(read_legacy, copy)
                if name not in {read.legacy, read.digest.hash}:
                    return None
                await self._put.put_files([LocalBlob(digest=read.digest, sha256=read.sha256, source=copy)])
                return read.digest.hash

    def _remember(self, found: Mapping[BlobHash, BlobHash]) -> None:
        if len(self._known) + len(found) > _REMEMBERED_MAX:
            self._known.clear()
        self._known |= found


def read_legacy(copy: Path) -> LegacyContent:
    """Read a file once for all its names."""
    md5, sha256, legacy = hashlib.md5(usedforsecurity=False), hashlib.sha256(), LegacyHasher()
    size = 0
    with copy.open("rb") as file:
        while data := file.read(READ_BYTES):
            md5.update(data)
            sha256.update(data)
            legacy.update(data)
            size += len(data)
    return LegacyContent(Digest(BlobHash(md5.hexdigest()), size), sha256.hexdigest(), legacy.hash())
