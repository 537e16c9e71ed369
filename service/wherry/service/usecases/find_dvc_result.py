"""Find a result in DVC's own run cache, for projects that trust what laptops push there."""

import asyncio

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.dvc.lockfile import parse_run_entry
from wherry.service.domain.dvc.run_cache import entries_folder, is_same_work
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.limits import RUN_ENTRY_BYTES_MAX
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.task import StageTask
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.objects import ListedObject, ObjectStore
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.read_blobs import ReadBlobs

# Results of one key that are looked at, by name. More come only from a command that writes something else each time.
_ENTRIES_MAX = 1000


class FindDvcResult:
    """Reads `runs/` as DVC does: the newest entry of the key or none. Older ones are not tried."""

    def __init__(self, *, objects: ObjectStore, index: BlobIndex, adopt: AdoptBlobs, read: ReadBlobs) -> None:
        """Read entries in `objects`; ask `adopt` for their outputs, and `index` and `read` for sizes."""
        self._objects = objects
        self._index = index
        self._adopt = adopt
        self._read = read

    async def __call__(self, task: StageTask) -> StageEntry | None:
        """The entry, if it is about just this work and all its outputs are held; anything wrong with it is a miss."""
        if task.dvc_key is None:
            return None
        listed = await self._objects.list_page(entries_folder(task.dvc_key), limit=_ENTRIES_MAX)
        newest = max(listed.objects, key=lambda found: found.modified_at, default=None)
        entry = await self._read_entry(newest) if newest is not None else None
        if entry is None or not is_same_work(entry, _wanted(task)):
            return None
        if any(out.is_legacy for out in entry.outs):
            return None  # the hash need not be that of the content
        if await self._adopt.find_missing({out.hash for out in entry.outs}):
            return None
        return StageEntry(
            cmd=entry.cmd,
            deps=entry.deps,
            params=entry.params,
            outs=tuple([await self._measured(out) for out in entry.outs]),
        )

    async def _read_entry(self, listed: ListedObject) -> StageEntry | None:
        data = await self._objects.get(listed.key) if listed.size_bytes <= RUN_ENTRY_BYTES_MAX else None
        if data is None or len(data) > RUN_ENTRY_BYTES_MAX:
            return None
        try:
            return await asyncio.to_thread(parse_run_entry, data, listed.key)
        except PipelineInvalid:
            return None

    async def _measured(self, out: FileEntry) -> FileEntry:
        """The output with sizes as they are: whoever wrote the entry may have written any, or none."""
        if not out.hash.endswith(TREE_SUFFIX):
            return FileEntry(
                path=out.path,
                hash=out.hash,
                size_bytes=(await self._index.find([out.hash]))[out.hash].size_bytes,
                executable=out.executable,
            )
        members = (await self._read.read_tree(out.hash)).entries
        records = await self._index.find({member.hash for member in members})
        return FileEntry(
            path=out.path,
            hash=out.hash,
            size_bytes=sum(records[member.hash].size_bytes for member in members),
            nfiles=len(members),
        )


def _wanted(task: StageTask) -> StageEntry:
    outs = tuple(FileEntry(path=out.path, hash=BlobHash(""), size_bytes=0) for out in task.stage.outs)
    return StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=outs)
