"""Sends content that the store lacks: small blobs packed, large ones cut, a tree after its members."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wherry.client.connection import Connection
from wherry.client.data import TREE_SUFFIX, LocalTree
from wherry.client.direct import DIRECT_BYTES_MIN, DirectWay, LargeFile
from wherry.client.errors import HASH_COLLISION, ClientError, FileTrouble, ProtocolBroken, Unreachable
from wherry.client.hashing import LocalFile
from wherry.client.memory import FileStamp
from wherry.client.missing import find_missing as missing_of
from wherry.client.progress import Progress
from wherry.v1.blobs_pb2 import BlobChunk, BlobDigest, UploadBlobsRequest

_CHUNK_BYTES = 1024 * 1024
_MESSAGE_BYTES = 2 * 1024 * 1024
_ATTEMPTS = 5
_LARGEST_SHOWN = 5
# A second stream keeps the wire busy while the service checks a blob; more only help far-away servers.
_STREAMS = 4
_BYTES_FOR_STREAMS = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the bytes of a blob are: a file as it was hashed, or bytes in memory."""

    hash: str
    size: int
    label: str
    file: Path | None = None
    stamp: FileStamp | None = None
    content: bytes = b""

    @classmethod
    def of_file(cls, file: LocalFile) -> "Source":
        """Take a hashed file."""
        return cls(hash=file.md5, size=file.size, label=file.path, file=file.source, stamp=file.stamp)

    @classmethod
    def of_tree(cls, tree: LocalTree, label: str) -> "Source":
        """Take a folder's JSON."""
        return cls(hash=tree.hash, size=len(tree.content), label=label, content=tree.content)

    def digest(self) -> BlobDigest:
        """Name it on the wire."""
        return BlobDigest(hash=self.hash, size_bytes=self.size)


class Holdings:
    """All content that this submission can provide, by hash."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._sources: dict[str, Source] = {}
        self._trees: dict[str, LocalTree] = {}

    def add_file(self, file: LocalFile) -> None:
        """Hold a file."""
        self._sources[file.md5] = Source.of_file(file)

    def add_content(self, md5: str, content: bytes, label: str) -> None:
        """Hold bytes that are in no file."""
        self._sources[md5] = Source(hash=md5, size=len(content), label=label, content=content)

    def add_tree(self, tree: LocalTree, label: str) -> None:
        """Hold a folder and its members."""
        self._sources[tree.hash] = Source.of_tree(tree, label)
        self._trees[tree.hash] = tree
        for member in tree.members.values():
            self.add_file(member)

    def source(self, blob: str) -> Source:
        """Find content.

        Raises:
            ProtocolBroken: if it is not of this submission.
        """
        if blob not in self._sources:
            raise ProtocolBroken(f"the service asks for content that was not announced: {blob[:40]!r}")
        return self._sources[blob]

    def members(self, blob: str) -> list[Source]:
        """List what a tree is made of."""
        return [self.source(member.md5) for member in self._trees[blob].members.values()]


def upload(
    connection: Connection,
    holdings: Holdings,
    blobs: Iterable[str],
    *,
    sources: bool = False,
    progress: Progress,
    direct: DirectWay,
) -> None:
    """Store these blobs, and the missing members of the trees among them.

    With `sources` they are files of the project and nothing else, which the store may keep many in one object.

    Raises:
        FileTrouble: if a file is no longer what was hashed.
        ClientError: as the service says; a lost connection is tried again a few times first.
    """
    wanted = list(dict.fromkeys(blobs))
    trees = [holdings.source(blob) for blob in wanted if blob.endswith(TREE_SUFFIX)]
    plain = {blob: holdings.source(blob) for blob in wanted if not blob.endswith(TREE_SUFFIX)}
    members = {source.hash: source for tree in trees for source in holdings.members(tree.hash)}
    for source in find_missing(connection, list(members.values())):
        plain[source.hash] = source
    todo = [*plain.values(), *trees]
    if not todo:
        return
    largest = sorted(todo, key=lambda source: -source.size)[:_LARGEST_SHOWN]
    progress.begin(
        "Uploading",
        len(todo),
        sum(source.size for source in todo),
        [(source.label, source.size) for source in largest],
    )
    try:
        large = [source for source in plain.values() if _may_go_directly(source)]
        left = {file.digest.hash for file in direct.upload([_large_file(source) for source in large])}
        passed = {source.hash for source in large} - left
        _send_with_retries(
            connection,
            [source for source in plain.values() if source.hash not in passed],
            progress,
            sources=sources,
        )
        _send_with_retries(connection, trees, progress)
    finally:
        progress.end()


def _may_go_directly(source: Source) -> bool:
    return source.file is not None and source.size >= DIRECT_BYTES_MIN


def _large_file(source: Source) -> LargeFile:
    assert source.file is not None, "bytes in memory are not sent directly"
    return LargeFile(
        digest=source.digest(),
        label=source.label,
        file=source.file,
        stamp=source.stamp,
        changed=lambda: _changed(source.label),
    )


def find_missing(connection: Connection, wanted: Sequence[Source], *, sources: bool = False) -> list[Source]:
    """Ask which of them the store lacks; `sources` as in `upload`."""
    missing = missing_of(connection, (source.hash for source in wanted), sources=sources)
    return [source for source in wanted if source.hash in missing]


def _send_with_retries(
    connection: Connection, wanted: Sequence[Source], progress: Progress, *, sources: bool = False
) -> None:
    """Blobs are named by content, so whatever a broken call left is simply not sent again."""
    for attempt in range(_ATTEMPTS):
        try:
            _send_in_streams(connection, wanted, progress, sources=sources)
        except Unreachable:
            if attempt == _ATTEMPTS - 1:
                raise
            threading.Event().wait(0.2 * 2**attempt)
            connection.refresh()
            try:
                wanted = find_missing(connection, wanted, sources=sources)
            except Unreachable:
                continue
        else:
            return


def _send_in_streams(
    connection: Connection, wanted: Sequence[Source], progress: Progress, *, sources: bool
) -> None:
    if not wanted:
        return
    count = _STREAMS if sum(source.size for source in wanted) > _BYTES_FOR_STREAMS else 1
    by_size = sorted(wanted, key=lambda source: -source.size)
    parts = [part for part in (by_size[index::count] for index in range(count)) if part]
    if len(parts) == 1:
        _send(connection, wanted, progress, sources=sources)
        return
    with ThreadPoolExecutor(max_workers=len(parts)) as pool:
        sending = [pool.submit(_send, connection, part, progress, sources=sources) for part in parts]
        for done in sending:
            done.result()


def _send(connection: Connection, wanted: Sequence[Source], progress: Progress, *, sources: bool) -> None:
    # An exception in a request stream reaches gRPC as a nameless failure: it is kept here and raised again.
    troubles: list[ClientError] = []
    by_hash = {source.hash: source for source in wanted}
    messages = _messages(wanted, progress.advance, sources=sources)
    try:
        connection.send(connection.blobs.UploadBlobs, _guarded(messages, troubles.append))
    except ClientError as exc:
        if troubles:
            raise troubles[0] from exc
        if exc.reason not in {"BLOB_MISMATCH", HASH_COLLISION}:
            raise
        name = next((by_hash[blob].label for blob in by_hash if blob in exc.message), "a file")
        raise (exc.about(name) if exc.reason == HASH_COLLISION else _changed(name)) from exc


def _guarded(
    messages: Iterator[UploadBlobsRequest], report: Callable[[ClientError], None]
) -> Iterator[UploadBlobsRequest]:
    try:
        yield from messages
    except ClientError as exc:
        report(exc)
        raise


def _messages(
    wanted: Iterable[Source], sent: Callable[[int], None], *, sources: bool
) -> Iterator[UploadBlobsRequest]:
    """Pack chunks into messages of at most 2 MiB."""
    packed: list[BlobChunk] = []
    size = 0
    for source in wanted:
        for chunk in _chunks(source):
            if packed and size + len(chunk.data) > _MESSAGE_BYTES:
                yield UploadBlobsRequest(chunks=packed, sources=sources)
                sent(size)
                packed, size = [], 0
            packed.append(chunk)
            size += len(chunk.data)
    if packed:
        yield UploadBlobsRequest(chunks=packed, sources=sources)
        sent(size)


def _chunks(source: Source) -> Iterator[BlobChunk]:
    digest = source.digest()
    if source.size == 0:
        yield BlobChunk(digest=digest)
        return
    if source.file is None:
        for offset in range(0, source.size, _CHUNK_BYTES):
            yield BlobChunk(digest=digest, offset=offset, data=source.content[offset : offset + _CHUNK_BYTES])
        return
    try:
        with source.file.open("rb") as stream:
            if FileStamp.of(os.fstat(stream.fileno())) != source.stamp:
                raise _changed(source.label)
            offset = 0
            while offset < source.size:
                data = stream.read(min(_CHUNK_BYTES, source.size - offset))
                if not data:
                    raise _changed(source.label)
                yield BlobChunk(digest=digest, offset=offset, data=data)
                offset += len(data)
    except OSError as exc:
        raise FileTrouble(f"cannot read {source.label}: {exc.strerror or exc}") from exc


def _changed(label: str) -> FileTrouble:
    return FileTrouble(
        f"{label} changed while it was being uploaded",
        hint="nothing was submitted; try again when it is quiet",
        where=label,
        reason="FILE_CHANGED",
    )
