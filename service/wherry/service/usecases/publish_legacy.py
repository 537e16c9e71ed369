"""Publish data where DVC looks for what an entry of DVC 2 names: under that hash, at the root of the remote."""

import asyncio
from collections.abc import Iterable, Mapping

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, legacy_object_key, object_key
from wherry.service.domain.errors import BlobMismatch, BlobMissing, StoreUnavailable
from wherry.service.domain.tree import Tree, TreeEntry
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.read_blobs import ReadBlobs

# Requests under way at once for one run. The bucket's threads are those of uploads too.
_AT_ONCE = 8


class PublishLegacy:
    """Copies held content within the bucket, so that `dvc pull` finds what stays recorded under hashes of DVC 2."""

    def __init__(
        self,
        *,
        objects: ObjectStore,
        index: BlobIndex,
        read: ReadBlobs,
        legacy: FindLegacyHashes,
        log: EventLog,
    ) -> None:
        """Copy within `objects` what `index` says is held; `legacy` tells what DVC 2 calls it."""
        self._objects = objects
        self._index = index
        self._read = read
        self._legacy = legacy
        self._log = log

    async def __call__(self, recorded: Mapping[BlobHash, BlobHash]) -> None:
        """Publish content under recorded hashes: each of these with the content's own hash.

        What is not held, or is not what is recorded, is left out: nobody's word is taken for it. A store that fails
        is told to the operator; the results themselves are where they belong.
        """
        missing = await self._index.find_missing(set(recorded.values()))
        try:
            for name, blob in recorded.items():
                if blob not in missing and await self._is_named(blob, name):
                    await self._publish(name, blob)
        except* (StoreUnavailable, BlobMismatch, BlobMissing) as errors:
            said = str(errors.exceptions[0])
            self._log.warning("could not publish data under hashes of DVC 2", said=said)

    async def _is_named(self, blob: BlobHash, name: BlobHash) -> bool:
        return blob == name or (await self._legacy([blob], {})).get(blob) == name

    async def _publish(self, name: BlobHash, blob: BlobHash) -> None:
        """Members before their folder: where this is, the others are too, and nothing needs to be done."""
        key = legacy_object_key(name)
        if await self._is_there(key):
            return
        if not blob.endswith(TREE_SUFFIX):
            await self._objects.copy(object_key(blob), key)
            return
        tree = await self._read.read_tree(blob)
        members = {one: one for one in tree.hashes()}
        if name != blob:
            members |= await self._legacy(members, {})
        await self._copy_members(members)
        named = Tree.of(TreeEntry(entry.path, members[entry.hash]) for entry in tree.entries).to_bytes()
        await self._objects.put(key, named, md5=name.removesuffix(TREE_SUFFIX))

    async def _copy_members(self, names: Mapping[BlobHash, BlobHash]) -> None:
        rest = iter(names.items())

        async def copy(mine: Iterable[tuple[BlobHash, BlobHash]]) -> None:
            for blob, name in mine:
                await self._objects.copy(object_key(blob), legacy_object_key(name))

        # They share one iterator: each takes the next when it is done with its last.
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(names))):
                group.create_task(copy(rest))

    async def _is_there(self, key: str) -> bool:
        page = await self._objects.list_page(key, limit=1)
        return any(listed.key == key for listed in page.objects)
