"""Brings content: verified against its name before anything is shown under a final name."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import grpc

from wherry.client.connection import Connection
from wherry.client.data import TREE_SUFFIX
from wherry.client.errors import ProtocolBroken, Unreachable
from wherry.v1.blobs_pb2 import BlobDigest, DownloadBlobsRequest

_STREAMS = 4
# Small enough that four streams share the work of a folder, large enough that calls cost nothing.
_BLOBS_PER_CALL = 500
_ATTEMPTS = 5
_TREE_BYTES_MAX = 256 * 1024 * 1024


class Sink(Protocol):
    """Takes the bytes of one blob. Ends with exactly one of commit() and abort()."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        ...

    def commit(self) -> None:
        """All has come and is what its name says: show it."""
        ...

    def abort(self) -> None:
        """It broke off: leave nothing behind."""
        ...


class MemorySink(Sink):
    """Keeps a blob in memory, for trees."""

    def __init__(self, done: Callable[[bytes], None]) -> None:
        """Take who gets the content."""
        self._parts: list[bytes] = []
        self._size = 0
        self._done = done

    def write(self, data: bytes) -> None:
        """Keep it, within bounds."""
        self._size += len(data)
        if self._size > _TREE_BYTES_MAX:
            raise ProtocolBroken(f"a folder's list of files is longer than {_TREE_BYTES_MAX} bytes")
        self._parts.append(data)

    def commit(self) -> None:
        """Hand it over."""
        self._done(b"".join(self._parts))

    def abort(self) -> None:
        """Forget it."""
        self._parts.clear()


def download(
    connection: Connection,
    blobs: Sequence[BlobDigest],
    open_sink: Callable[[str], Sink],
    advanced: Callable[[int], None],
) -> None:
    """Fetch blobs, each once, on a few streams. `open_sink` is called from several threads.

    Raises:
        Unknown: if the store does not hold one.
        ProtocolBroken: if content is not what its name says; nothing of it is kept.
        Unreachable: if the connection breaks again and again.
    """
    unique = list({digest.hash: digest for digest in blobs}.values())
    # Large ones first, and spread over the streams, so that none is left with all the work.
    unique.sort(key=lambda digest: -digest.size_bytes)
    size = min(_BLOBS_PER_CALL, -(-len(unique) // _STREAMS) or 1)
    count = -(-len(unique) // size)
    parts = [unique[index::count] for index in range(count)]
    with ThreadPoolExecutor(max_workers=_STREAMS) as pool:
        jobs = [pool.submit(_Fetch(connection, part, open_sink, advanced).run) for part in parts]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Fetch:
    """One stream's share of the blobs: remembers what is done, so that a broken stream goes on from there."""

    def __init__(
        self,
        connection: Connection,
        blobs: Sequence[BlobDigest],
        open_sink: Callable[[str], Sink],
        advanced: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._left = list(blobs)
        self._open_sink = open_sink
        self._advanced = advanced

    def run(self) -> None:
        """Fetch all of them."""
        for attempt in range(_ATTEMPTS):
            try:
                self._run_once()
            except Unreachable:
                if attempt == _ATTEMPTS - 1:
                    raise
                threading.Event().wait(0.2 * 2**attempt)
                self._connection.refresh()
            else:
                return

    def _run_once(self) -> None:
        current: _Incoming | None = None
        try:
            for hash_, offset, data in _chunks(self._connection, self._left) if self._left else ():
                if current is not None and current.hash != hash_:
                    self._finish(current)
                    current = None
                if current is None:
                    current = self._open(hash_)
                current.take(offset, data)
                self._advanced(len(data))
            if current is not None:
                self._finish(current)
                current = None
        finally:
            if current is not None:
                current.sink.abort()
        if self._left:
            raise ProtocolBroken(f"the service ended a download before {self._left[0].hash}")

    def _open(self, hash_: str) -> "_Incoming":
        if not self._left or self._left[0].hash != hash_:
            raise ProtocolBroken(f"the service sent a blob out of turn: {hash_[:40]!r}")
        return _Incoming(hash_, self._open_sink(hash_))

    def _finish(self, current: "_Incoming") -> None:
        current.finish()
        self._left.pop(0)


def _chunks(connection: Connection, blobs: Sequence[BlobDigest]) -> Iterator[tuple[str, int, bytes]]:
    call = connection.blobs.DownloadBlobs(DownloadBlobsRequest(digests=blobs), metadata=connection.metadata())
    try:
        for message in call:
            for chunk in message.chunks:
                yield chunk.digest.hash, chunk.offset, chunk.data
    except grpc.RpcError as exc:
        raise connection.fault(exc) from exc
    finally:
        call.cancel()


class _Incoming:
    """A blob on its way."""

    def __init__(self, hash_: str, sink: Sink) -> None:
        self.hash = hash_
        self.sink = sink
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._received = 0

    def take(self, offset: int, data: bytes) -> None:
        if offset != self._received:
            raise ProtocolBroken(f"the service left out a part of {self.hash}")
        self._md5.update(data)
        self._received += len(data)
        self.sink.write(data)

    def finish(self) -> None:
        if self._md5.hexdigest() != self.hash.removesuffix(TREE_SUFFIX):
            raise ProtocolBroken(
                f"what came as {self.hash} is something else; it was not kept",
                hint="the store is damaged, or somebody stands between you and the service",
                reason="BLOB_MISMATCH",
            )
        self.sink.commit()
