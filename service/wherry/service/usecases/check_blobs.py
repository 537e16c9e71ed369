"""Read what the store holds again, and take out of the index what is not what its name says.

A fault takes effect in the order that keeps DVC's rule true, that a tree in the bucket is a whole tree: first each tree
that lists the blob goes, then the blob. What nobody holds any more is made again by its stage.
"""

import asyncio
import hashlib
import random
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, object_key
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.findings import BlobFault, CheckProgress, FaultKind
from wherry.service.domain.tree import parse_tree
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.check_packs import CheckPacks
from wherry.service.usecases.forget_blobs import ForgetBlobs

# Objects read at once, each to a file of its own; and checked between two messages of progress.
_AT_ONCE = 8
_PART = 64

# Large reads let hashlib work without the interpreter's lock.
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Looked:
    """What came of one blob."""

    size_bytes: int
    fault: BlobFault | None


class CheckBlobs:
    """Checks blobs that the index says are held."""

    def __init__(
        self,
        *,
        objects: ObjectStore,
        index: BlobIndex,
        packs: CheckPacks,
        spool: Path,
        chance: random.Random,
    ) -> None:
        """Read objects into files of `spool`, and packs through `packs`; samples are drawn with `chance`."""
        self._packs = packs
        self._objects = objects
        self._forget = ForgetBlobs(objects=objects, index=index)
        self._index = index
        self._spool = spool
        self._chance = chance

    async def __call__(self, sample: int) -> AsyncIterator[CheckProgress]:
        """Check `sample` objects chosen at random, or all when 0; tells how it goes, at least once at the end."""
        if sample < 0:
            raise InvalidInput("a sample has at least one blob; 0 stands for all")
        hashes, packs = [blob async for blob in self._forget.all_known()], await self._packs.names()
        if sample and sample < len(hashes) + len(packs):
            chosen = set(self._chance.sample([*hashes, *packs], sample))
            hashes, packs = [blob for blob in hashes if blob in chosen], sorted(chosen.intersection(packs))
        total = len(hashes) + len(packs)
        # Trees last: what is wrong with their members is known by then.
        hashes.sort(key=lambda blob: blob.endswith(TREE_SUFFIX))
        checked, read = 0, 0
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="check-") as copies:
            for part in _cut(hashes):
                looked = await self._look_at(part, Path(copies))
                checked, read = checked + len(part), read + sum(each.size_bytes for each in looked)
                faults = [each.fault for each in looked if each.fault is not None]
                faults += await self._take_out(faults)
                yield CheckProgress(checked=checked, total=total, bytes_read=read, faults=tuple(faults))
        for pack in packs:
            size, faults = await self._packs(pack)
            checked, read = checked + 1, read + size
            yield CheckProgress(checked=checked, total=total, bytes_read=read, faults=tuple(faults))
        if not total:
            yield CheckProgress(checked=0, total=0, bytes_read=0, faults=())

    async def _look_at(self, hashes: Sequence[BlobHash], copies: Path) -> list[_Looked]:
        # Asked anew: a tree may be gone because of a member since the list was made.
        records = await self._index.find(hashes)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def look(record: BlobRecord) -> _Looked:
            async with gate:
                return await self._look(record, copies / record.hash)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(look(records[blob])) for blob in hashes if blob in records]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the others were cancelled because of the first
        return [task.result() for task in tasks]

    async def _look(self, record: BlobRecord, copy: Path) -> _Looked:
        if not await self._objects.get_file(object_key(record.hash), copy):
            return _Looked(0, BlobFault(record.hash, FaultKind.MISSING, "is not in the bucket"))
        size, fault, tree = await asyncio.to_thread(_compare, record, copy)
        if tree is not None:
            fault = await self._check_members(record.hash, tree)
        return _Looked(size, fault)

    async def _check_members(self, tree: BlobHash, data: bytes) -> BlobFault | None:
        try:
            missing = await self._index.find_missing(parse_tree(data).hashes())
        except InvalidInput as exc:
            return BlobFault(tree, FaultKind.DAMAGED, exc.message)
        if not missing:
            return None
        said = f"lists {len(missing)} files that are not held, {min(missing)} among them"
        return BlobFault(tree, FaultKind.INCOMPLETE, said)

    async def _take_out(self, faults: Sequence[BlobFault]) -> list[BlobFault]:
        """Make what is wrong no longer held; returns the trees that go with it."""
        if not faults:
            return []
        gone = {fault.hash for fault in faults}
        trees = await self._forget.trees_with(gone)
        await self._forget.remove(list(trees))
        await self._forget.remove(sorted(gone, key=lambda blob: not blob.endswith(TREE_SUFFIX)))
        return [
            BlobFault(tree, FaultKind.INCOMPLETE, f"lists {lost}, which is not held any more")
            for tree, lost in trees.items()
        ]


def _compare(record: BlobRecord, copy: Path) -> tuple[int, BlobFault | None, bytes | None]:
    """Size, what is wrong, and of a tree that is as named the content. The copy is gone then."""
    try:
        size, md5, sha256 = _hash(copy)
        if md5 != record.hash.removesuffix(TREE_SUFFIX):
            return (
                size,
                BlobFault(record.hash, FaultKind.DAMAGED, f"has the content of {md5} in the bucket"),
                None,
            )
        if record.sha256 and sha256 != record.sha256:
            said = f"has another content of the same MD5 in the bucket: SHA-256 {sha256}"
            return size, BlobFault(record.hash, FaultKind.EXCHANGED, said), None
        return size, None, copy.read_bytes() if record.hash.endswith(TREE_SUFFIX) else None
    finally:
        copy.unlink()


def _hash(copy: Path) -> tuple[int, str, str]:
    size, md5, sha256 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha256()
    buffer = memoryview(bytearray(_READ_BYTES))
    with copy.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            size += count
            md5.update(buffer[:count])
            sha256.update(buffer[:count])
    return size, md5.hexdigest(), sha256.hexdigest()


def _cut(hashes: Sequence[BlobHash]) -> Iterator[Sequence[BlobHash]]:
    return (hashes[start : start + _PART] for start in range(0, len(hashes), _PART))
