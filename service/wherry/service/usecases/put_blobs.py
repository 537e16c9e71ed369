"""Take content in: verify it, put it into the bucket, and only then say that it is held."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, Digest, digest_content
from wherry.service.domain.errors import BlobMismatch, HashCollision, TooMany, TreeIncomplete
from wherry.service.domain.limits import CHUNK_BYTES_MAX, PACK_MEMBERS_MAX, TREE_BYTES_MAX
from wherry.service.domain.tree import parse_tree
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.workspaces import NodeCache
from wherry.service.usecases.pack_sources import PACK_CLOSED_AT_BYTES, PackSources, SourceBody, is_packed
from wherry.service.usecases.store_content import StoreContent

# Puts under way at once for one caller: enough to hide the latency of a bucket, few enough that
# the spooled bodies stay small.
_PUTS_AT_ONCE = 16

# What goes to the bucket together, and is recorded together. Held in memory: two batches of short bodies.
_BATCH_BLOBS = 128
_BATCH_BYTES = 4 * CHUNK_BYTES_MAX
_BATCHES_AT_ONCE = 3

# A pack goes to the bucket while the next comes together.
_PACKS_AT_ONCE = 2

# Longer bodies are spooled to disk instead of held in memory.
_SPOOL_BYTES = CHUNK_BYTES_MAX

# Hashing less than this takes less time than handing it to a thread.
_HASH_INLINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive bytes of one blob."""

    digest: Digest
    offset: int
    data: bytes
    is_source: bool = False
    """Whether the blob is a file of a project and nothing else, so that it may stand in a pack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBlob:
    """A file of this machine whose content has been hashed."""

    digest: Digest
    sha256: str
    source: Path


class PutBlobs:
    """Stores blobs. Members first, then the tree; the index last, so that what it says is true."""

    def __init__(
        self,
        *,
        objects: ObjectStore,
        index: BlobIndex,
        node: NodeCache,
        spool: Path,
        first_stays: bool = True,
        pack: PackSources | None = None,
    ) -> None:
        """Use `spool` for bodies that are too long for memory; `first_stays`: the store knows If-None-Match.

        Small files of projects go through `pack`; None: each gets an object of its own, as all else.
        """
        self._pack = pack
        self._store = StoreContent(objects=objects, spool=spool, first_stays=first_stays)
        self._index = index
        self._node = node
        self._spool = spool

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """The ones that are not held."""
        return await self._index.find_missing(hashes)

    async def put_content(self, data: bytes) -> Digest:
        """Store small content made by the service itself."""
        digest = digest_content(data)
        if await self._index.find_missing([digest.hash]):
            sha256 = hashlib.sha256(data).hexdigest()
            await self._store(digest.hash, data, sha256)
            await self._index.add([_record(digest, sha256)])
        return digest

    async def put_tree(self, data: bytes, *, again: bool = False) -> Digest:
        """Store a tree whose members are held; with `again` even if it seems to be held itself.

        Raises:
            TreeIncomplete: if one is not.
        """
        plain = digest_content(data)
        digest = Digest(BlobHash(plain.hash + TREE_SUFFIX), plain.size_bytes)
        await self._check_members(data)
        if again or await self._index.find_missing([digest.hash]):
            sha256 = hashlib.sha256(data).hexdigest()
            await self._store(digest.hash, data, sha256)
            await self._index.add([_record(digest, sha256)])
        return digest

    async def put_files(self, blobs: Iterable[LocalBlob], *, again: bool = False) -> None:
        """Store files that a stage wrote, those that are not held; keep them in the node's copy too.

        What somebody else put into the bucket is stored again: nobody has seen that it is the same. With `again` so
        is all that Wherry has seen: some of it has gone from the bucket.
        """
        by_hash: dict[BlobHash, LocalBlob] = {}
        for blob in blobs:
            if by_hash.setdefault(blob.digest.hash, blob).sha256 != blob.sha256:
                raise HashCollision(f"two files that a stage wrote have one MD5, {blob.digest.hash}")
        held = await self._index.find(by_hash.keys())
        seen = {blob_hash for blob_hash, record in held.items() if record.sha256 is not None}
        lacking = by_hash.keys() if again else by_hash.keys() - seen
        gate = asyncio.Semaphore(_PUTS_AT_ONCE)

        async def put(blob: LocalBlob) -> None:
            async with gate:
                await self._store(blob.digest.hash, blob.source, blob.sha256)

        await _all_or_first_error([put(by_hash[blob_hash]) for blob_hash in lacking])
        # All of them, not only the missing: this is where a second content under one MD5 shows.
        await self._index.add(_record(blob.digest, blob.sha256) for blob in by_hash.values())
        for blob in by_hash.values():
            await self._node.adopt(blob.digest.hash, blob.source)

    async def receive(self, chunks: AsyncIterator[Chunk]) -> int:
        """Store blobs that arrive in chunks, one blob after the other; say how many.

        Raises:
            BlobMismatch: if content is not what was announced. Blobs before it are held.
            TreeIncomplete: if a tree arrives before its members.
        """
        stored = 0
        async with _Intake(self) as intake:
            async for chunk in chunks:
                stored += await intake.take(chunk)
            intake.expect_nothing_open()
        return stored

    async def _check_members(self, tree: bytes) -> None:
        missing = await self._index.find_missing(parse_tree(tree).hashes())
        if missing:
            raise TreeIncomplete(
                f"{len(missing)} members of a tree are not in the store, {min(missing)} among them",
                hint="Upload the members before the tree.",
            )

    async def keep_received(self, bodies: Collection["_Body"], gate: asyncio.Semaphore) -> None:
        """Put verified bodies of different hashes into the bucket, those that are not held; then record all of them.

        What is held is not written again: other content of the same MD5 would take the place of the first
        before recording it shows that it is other content. What is held and was seen by nobody is compared with what
        the bucket has, or its SHA-256 would be that of a body that is not there. What is in the bucket is recorded
        also when another body does not get there.
        """
        held = await self._index.find({body.digest.hash for body in bodies})
        seen = {blob for blob, record in held.items() if record.sha256 is not None}

        async def keep(body: "_Body") -> BlobRecord:
            if body.digest.hash not in seen:
                async with gate:
                    content = body.content() if body.path is None else body.path
                    await self._store(body.digest.hash, content, body.sha256)
            return _record(body.digest, body.sha256)

        done = await asyncio.gather(*(keep(body) for body in bodies), return_exceptions=True)
        await self._index.add([record for record in done if isinstance(record, BlobRecord)])
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure

    def goes_into_pack(self, body: "_Body") -> bool:
        """Whether a body is stored by `pack_received`."""
        return self._pack is not None and body.is_source and is_packed(body.digest.hash, body.received)

    async def pack_received(self, bodies: Collection["_Body"]) -> None:
        """Put verified small files of projects into packs, those that are not held."""
        assert self._pack is not None, "only what goes into a pack comes here"
        await self._pack(SourceBody(body.digest.hash, body.sha256, body.content()) for body in bodies)

    def open_body(self, digest: Digest, *, is_source: bool) -> "_Body":
        """Begin to receive one blob."""
        if digest.is_tree and digest.size_bytes > TREE_BYTES_MAX:
            raise TooMany(f"a tree of {digest.size_bytes} bytes is more than {TREE_BYTES_MAX}")
        return _Body(digest, self._spool, is_source=is_source)


class _Body:
    """One blob while it arrives: hashed on the way, in memory while short, on disk when long."""

    def __init__(self, digest: Digest, spool: Path, *, is_source: bool) -> None:
        self.digest = digest
        self.is_source = is_source
        self.sha256 = ""
        self.received = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._parts: list[bytes] = []
        if digest.size_bytes > _SPOOL_BYTES:
            self._file = tempfile.NamedTemporaryFile(dir=spool, prefix="upload-")  # noqa: SIM115 - closed by close()

    @property
    def path(self) -> Path | None:
        """The spool file of a long body."""
        return None if self._file is None else Path(self._file.name)

    @property
    def is_complete(self) -> bool:
        return self.received == self.digest.size_bytes

    def content(self) -> bytes:
        """A body held in memory; of a tree also one that was spooled."""
        if self._file is None:
            return b"".join(self._parts)
        self._file.seek(0)
        return self._file.read()

    def write(self, chunk: Chunk) -> None:
        if chunk.offset != self.received:
            raise BlobMismatch(f"blob {self.digest.hash}: expected byte {self.received}, got {chunk.offset}")
        self.received += len(chunk.data)
        if self.received > self.digest.size_bytes:
            raise BlobMismatch(
                f"blob {self.digest.hash} is longer than announced: {self.digest.size_bytes} bytes"
            )
        self._md5.update(chunk.data)
        self._sha256.update(chunk.data)
        if self._file is None:
            self._parts.append(chunk.data)
        else:
            self._file.write(chunk.data)

    def verify(self) -> None:
        if self._md5.hexdigest() != self.digest.hash.removesuffix(TREE_SUFFIX):
            raise BlobMismatch(
                f"content announced as {self.digest.hash} has the hash {self._md5.hexdigest()}",
                hint="Was the file changed while it was sent? Submit again.",
            )
        self.sha256 = self._sha256.hexdigest()
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        self._parts.clear()
        if self._file is not None:
            self._file.close()


class _Batch:
    """Bodies that are stored together."""

    def __init__(self) -> None:
        self.bodies: dict[BlobHash, _Body] = {}
        self.size_bytes = 0

    def add(self, body: _Body) -> None:
        self.bodies[body.digest.hash] = body
        self.size_bytes += body.received


class _Intake:
    """The blobs of one upload: several on their way to the bucket while the next arrive.

    They go in batches, because asking the index and writing to it cost more than a small blob itself.
    """

    def __init__(self, put: PutBlobs) -> None:
        self._put = put
        self._open: _Body | None = None
        self._batch, self._sources = _Batch(), _Batch()
        self._under_way: dict[asyncio.Task[None], Collection[BlobHash]] = {}
        self._gate = asyncio.Semaphore(_PUTS_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if self._open is not None:
            self._open.close()
        await self._settle()

    async def take(self, chunk: Chunk) -> int:
        """Take one chunk; 1 when it completed a blob."""
        if len(chunk.data) > CHUNK_BYTES_MAX:
            raise TooMany(f"a chunk has {len(chunk.data)} bytes, at most {CHUNK_BYTES_MAX} are taken")
        body = self._body_of(chunk)
        if len(chunk.data) > _HASH_INLINE_BYTES:
            await asyncio.to_thread(body.write, chunk)
        else:
            body.write(chunk)
        if not body.is_complete:
            return 0
        self._open = None
        await self._complete(body)
        return 1

    def expect_nothing_open(self) -> None:
        """Complain when the upload ends in the middle of a blob."""
        if self._open is not None:
            digest = self._open.digest
            raise BlobMismatch(
                f"blob {digest.hash} ended after {self._open.received} of {digest.size_bytes} bytes"
            )

    def _body_of(self, chunk: Chunk) -> _Body:
        if self._open is None:
            self._open = self._put.open_body(chunk.digest, is_source=chunk.is_source)
        elif self._open.digest != chunk.digest:
            self.expect_nothing_open()
        return self._open

    async def _complete(self, body: _Body) -> None:
        try:
            body.verify()
            # A tree after its members; and of two bodies of one hash the second is compared with the first.
            if body.digest.is_tree or self._is_on_its_way(body.digest.hash):
                await self._settle()
            if body.digest.is_tree:
                await self._put._check_members(body.content())  # noqa: SLF001 - the intake is part of PutBlobs
        except BaseException:
            body.close()
            raise
        if self._put.goes_into_pack(body):
            self._sources.add(body)
            if (
                self._sources.size_bytes >= PACK_CLOSED_AT_BYTES
                or len(self._sources.bodies) >= PACK_MEMBERS_MAX
            ):
                self._send_sources()
                await self._wait_until_under(_PACKS_AT_ONCE)
            return
        self._batch.add(body)
        if len(self._batch.bodies) >= _BATCH_BLOBS or self._batch.size_bytes >= _BATCH_BYTES:
            self._send_batch()
            await self._wait_until_under(_BATCHES_AT_ONCE)

    async def _wait_until_under(self, count: int) -> None:
        while len(self._under_way) >= count:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            self._collect()

    def _send_batch(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if batch.bodies:
            self._send(batch, self._put.keep_received(batch.bodies.values(), self._gate))

    def _send_sources(self) -> None:
        batch, self._sources = self._sources, _Batch()
        if batch.bodies:
            self._send(batch, self._put.pack_received(batch.bodies.values()))

    def _send(self, batch: "_Batch", keeping: Coroutine[None, None, None]) -> None:
        def close(_: "asyncio.Task[None]") -> None:
            for body in batch.bodies.values():
                body.close()

        task = asyncio.create_task(keeping)
        task.add_done_callback(close)
        self._under_way[task] = batch.bodies.keys()

    def _is_on_its_way(self, blob: BlobHash) -> bool:
        waiting = (self._batch.bodies, self._sources.bodies, *self._under_way.values())
        return any(blob in batch for batch in waiting)

    def _collect(self) -> None:
        done = [task for task in self._under_way if task.done()]
        for task in done:
            del self._under_way[task]
        for task in done:
            task.result()

    async def _settle(self) -> None:
        self._send_batch()
        self._send_sources()
        if self._under_way:
            await asyncio.wait(self._under_way)
            self._collect()


async def _all_or_first_error(calls: Iterable[Coroutine[None, None, None]]) -> None:
    """Run calls at once; when one fails, stop the rest and raise its error as it is."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _record(digest: Digest, sha256: str) -> BlobRecord:
    return BlobRecord(hash=digest.hash, size_bytes=digest.size_bytes, sha256=sha256)
