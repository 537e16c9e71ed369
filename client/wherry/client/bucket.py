"""HTTP to the bucket, with requests that the service has signed. Nothing here knows a key.

http.client follows no redirect, asks no proxy, and sends nothing that is not said here.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from wherry.client.errors import FileTrouble
from wherry.client.memory import FileStamp
from wherry.v1.blobs_pb2 import SignedRequest

if TYPE_CHECKING:
    import http.client

_BLOCK_BYTES = 1024 * 1024
_PROBE_S = 2.0
# Between two pieces of data, not for a whole transfer.
_SILENCE_S = 60.0
_PROBE_BYTES_MAX = 4096

OK = 200
_PARTIAL = 206
ALREADY_THERE = 412


class BucketTrouble(Exception):
    """The bucket did not do it; the way through the service is left. Never shown to users as it is."""


class Bucket:
    """Connections to the bucket, kept between requests. Safe to use from several threads."""

    def __init__(self) -> None:
        """Connect when first used."""
        self._idle: list[tuple[str, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def is_reached(self, request: SignedRequest, content: bytes) -> bool:
        """Whether a GET answers with this content, soon."""
        try:
            with _answer(_connect(urlsplit(request.url), _PROBE_S), "GET", request) as (answer, _):
                return answer.status == OK and answer.read(_PROBE_BYTES_MAX) == content
        except BucketTrouble:
            return False

    def put(self, request: SignedRequest, body: FilePart, extra: Mapping[str, str] | None = None) -> int:
        """Send a part of a file; returns the status.

        Raises:
            BucketTrouble: if the connection breaks.
            FileTrouble: as reading says.
        """
        headers = {"Content-Length": str(body.size), **(extra or {})}
        with self._request("PUT", request, headers, body) as answer:
            answer.read()
            return answer.status

    def get(self, request: SignedRequest, offset: int, size: int, take: Callable[[memoryview], None]) -> None:
        """Read a range, handing over what comes as it comes.

        Raises:
            BucketTrouble: if the connection breaks, or anything but the range comes.
        """
        headers = {"Range": f"bytes={offset}-{offset + size - 1}"}
        with self._request("GET", request, headers, None) as answer:
            if answer.status not in {OK, _PARTIAL} or (answer.status == OK and offset):
                answer.read()
                raise BucketTrouble(f"the bucket answered {answer.status}")
            buffer = memoryview(bytearray(_BLOCK_BYTES))
            left = size
            while left:
                count = answer.readinto(buffer[: min(left, _BLOCK_BYTES)])
                if not count:
                    raise BucketTrouble(f"the bucket's answer ended {left} bytes early")
                take(buffer[:count])
                left -= count

    @contextlib.contextmanager
    def _request(
        self, method: str, request: SignedRequest, headers: Mapping[str, str], body: FilePart | None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send on a connection of its own; what broke, or was not read to its end, is closed."""
        url = urlsplit(request.url)
        with self._lock:
            kept = next((item for item in self._idle if item[0] == url.netloc), None)
            if kept is not None:
                self._idle.remove(kept)
        connection = kept[1] if kept is not None else _connect(url, _SILENCE_S)
        with _answer(connection, method, request, headers=headers, body=body) as (answer, reusable):
            yield answer
            if answer.isclosed() and not answer.will_close:
                reusable.append(connection)
                with self._lock:
                    self._idle.append((url.netloc, connection))


class FilePart:
    """A part of a file as a request's body. Fails when the file is no longer what was hashed."""

    def __init__(
        self,
        file: Path,
        stamp: FileStamp | None,
        *,
        offset: int,
        size: int,
        sent: Callable[[int], None],
        changed: Callable[[], FileTrouble],
    ) -> None:
        """Take the part, who hears how much of it was sent, and the error for a file that changed."""
        self.size = size
        self._changed = changed
        self._stamp = stamp
        self._left = size
        self._sent = sent
        self.passed = 0
        try:
            self._stream = file.open("rb", buffering=0)
        except OSError as exc:
            raise FileTrouble(f"cannot read {file}: {exc.strerror or exc}") from exc
        self._stream.seek(offset)
        self._check()

    def read(self, size: int = _BLOCK_BYTES) -> bytes:
        """Give the next bytes, as http.client asks for them."""
        # http.client closes nothing when this raises, but neither is the body complete: the store refuses it.
        if not self._left:
            return b""
        data = self._stream.read(min(max(size, _BLOCK_BYTES), self._left))
        if not data:
            raise self._changed()
        self._left -= len(data)
        self.passed += len(data)
        if not self._left:
            self._check()
        self._sent(len(data))
        return data

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _check(self) -> None:
        if self._stamp is not None and FileStamp.of(os.fstat(self._stream.fileno())) != self._stamp:
            self._stream.close()
            raise self._changed()


def _connect(url: SplitResult, timeout: float) -> http.client.HTTPConnection:
    import http.client  # noqa: PLC0415 - it reads mail and speaks TLS; most submissions send nothing

    host = url.hostname or ""
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, url.port, timeout=timeout, blocksize=_BLOCK_BYTES)
    if url.scheme == "http":
        return http.client.HTTPConnection(host, url.port, timeout=timeout, blocksize=_BLOCK_BYTES)
    raise BucketTrouble(f"not an address of a bucket: {url.scheme}")


@contextlib.contextmanager
def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    request: SignedRequest,
    *,
    headers: Mapping[str, str] | None = None,
    body: FilePart | None = None,
) -> Iterator[tuple[http.client.HTTPResponse, list[http.client.HTTPConnection]]]:
    """Send and hand over the answer; the connection is closed unless it is put into the list."""
    import http.client  # noqa: PLC0415

    url = urlsplit(request.url)
    reusable: list[http.client.HTTPConnection] = []
    try:
        connection.request(
            method, f"{url.path}?{url.query}", body=body, headers={**(headers or {}), **request.headers}
        )
        yield connection.getresponse(), reusable
    except (OSError, http.client.HTTPException) as exc:
        raise BucketTrouble(str(exc) or type(exc).__name__) from exc
    finally:
        if not reusable:
            connection.close()
