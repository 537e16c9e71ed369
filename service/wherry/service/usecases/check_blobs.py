"""Read what the store holds again, and take out of the index what is not what its name says.

A fault takes effect in the order that keeps DVC's rule true, that a tree in the bucket is a whole tree: first each tree
that lists the blob goes, then the blob. What nobody holds any more is made again by its stage.
"""

import asyncio
import hashlib
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, object_key
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.findings import BlobFault, CheckProgress, FaultKind
from wherry.service.domain.tree import parse_tree
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.check_legacy import CheckLegacy
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
    fault: BlobFault | None = None
    seen: BlobRecord | None = None
    """Of one that is as it should be and that Wherry had not seen before: what is known of it now."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One object to check."""

    hash: BlobHash
    is_legacy: bool = False
    is_pack: bool = False


class CheckBlobs:
    """Checks blobs that the index says are held, what DVC 2 left at the root of the remote, and packs of sources."""

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
        self._legacy = CheckLegacy(objects=objects, index=index)
        self._index = index
        self._spool = spool
        self._chance = chance

    async def __call__(self, sample: int) -> AsyncIterator[CheckProgress]:
        """Check `sample` objects chosen at random, or all when 0; tells how it goes, at least once at the end."""
        if sample < 0:
            raise InvalidInput("a sample has at least one blob; 0 stands for all")
        legacy = await self._legacy.names()
        wanted = [_Wanted(blob) async for blob in self._forget.all_known()]
        wanted += [_Wanted(name, is_legacy=True) for name in legacy]
        wanted += [_Wanted(BlobHash(name), is_pack=True) for name in await self._packs.names()]
        if sample and sample < len(wanted):
            wanted = sorted(self._chance.sample(wanted, sample), key=lambda one: one.hash)
        total = len(wanted)
        packs = [one.hash for one in wanted if one.is_pack]
        wanted = [one for one in wanted if not one.is_pack]
        # Trees last: what is wrong with their members is known by then.
        wanted.sort(key=lambda one: one.hash.endswith(TREE_SUFFIX))
        names = frozenset(legacy)
        checked, read = 0, 0
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="check-") as copies:
            for part in _cut(wanted):
                looked = await self._look_at([one.hash for one in part if not one.is_legacy], Path(copies))
                await self._index.add(each.seen for each in looked if each.seen is not None)
                faults = [each.fault for each in looked if each.fault is not None]
                faults += await self._take_out(faults)
                old = await self._look_at_legacy(
                    [one.hash for one in part if one.is_legacy], names, Path(copies)
                )
                faults += [each.fault for each in old if each.fault is not None]
                checked, read = checked + len(part), read + sum(each.size_bytes for each in (*looked, *old))
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
        return await _all_of(
            partial(self._look, records[blob], copies / blob) for blob in hashes if blob in records
        )

    async def _look_at_legacy(
        self, part: Sequence[BlobHash], names: Collection[BlobHash], copies: Path
    ) -> list[_Looked]:
        async def look(name: BlobHash) -> _Looked:
            return _Looked(*await self._legacy.look(name, copies / f"old-{name}", names))

        return await _all_of(partial(look, name) for name in part)

    async def _look(self, record: BlobRecord, copy: Path) -> _Looked:
        if not await self._objects.get_file(object_key(record.hash), copy):
            return _Looked(0, BlobFault(record.hash, FaultKind.MISSING, "is not in the bucket"))
        size, sha256, fault, tree = await asyncio.to_thread(_compare, record, copy)
        if tree is not None:
            fault = await self._check_members(record.hash, tree)
        if fault is None and record.sha256 is None:
            return _Looked(size, seen=replace(record, size_bytes=size, sha256=sha256))
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


async def _all_of(looks: Iterable[Callable[[], Awaitable[_Looked]]]) -> list[_Looked]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def take_turn(look: Callable[[], Awaitable[_Looked]]) -> _Looked:
        async with gate:
            return await look()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take_turn(look)) for look in looks]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the others were cancelled because of the first
    return [task.result() for task in tasks]


def _compare(record: BlobRecord, copy: Path) -> tuple[int, str, BlobFault | None, bytes | None]:
    """Size, SHA-256, what is wrong, and of a tree that is as named the content. The copy is gone then."""
    try:
        size, md5, sha256 = _hash(copy)
        if md5 != record.hash.removesuffix(TREE_SUFFIX):
            return (
                size,
                sha256,
                BlobFault(record.hash, FaultKind.DAMAGED, f"has the content of {md5} in the bucket"),
                None,
            )
        if record.sha256 and sha256 != record.sha256:
            said = f"has another content of the same MD5 in the bucket: SHA-256 {sha256}"
            return size, sha256, BlobFault(record.hash, FaultKind.EXCHANGED, said), None
        return size, sha256, None, copy.read_bytes() if record.hash.endswith(TREE_SUFFIX) else None
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


def _cut(wanted: Sequence[_Wanted]) -> Iterator[Sequence[_Wanted]]:
    return (wanted[start : start + _PART] for start in range(0, len(wanted), _PART))
