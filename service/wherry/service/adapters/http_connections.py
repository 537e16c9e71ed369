"""HTTP/1.1 to one server, for thousands of short requests: connections that stay open, and no more than that.

A request's bytes come ready made. Of an answer there are the status and, if the server says how long it is, the
body; no redirect, no cookie, no compression, nothing tried again. Whoever gets ConnectionError asks in another way.
"""

import asyncio
import re
import ssl
from typing import NamedTuple

_HEAD_BYTES_MAX = 64 * 1024
_IDLE_MAX = 64
_CONNECT_S = 5.0

_STATUS = re.compile(rb"http/1\.1 ([1-5][0-9][0-9])\b")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?:\r\n|$)")
_NO_CONTENT = 204
_NOT_MODIFIED = 304
_FIRST_FINAL = 200


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes | None
    """None: longer than was allowed, or of a length that the server does not say."""


class HttpConnections:
    """Connections to one server, within one event loop. Nothing is sent before the first request."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None, silence_s: float) -> None:
        """Give up a request that has not been answered after `silence_s`."""
        self._host = host
        self._port = port
        self._tls = tls
        self._silence_s = silence_s
        self._idle: list[_Connection] = []

    async def exchange(self, head: bytes, body: bytes = b"", *, answer_bytes_max: int) -> Answer:
        """Send a request and take the answer.

        Raises:
            OSError: if the connection breaks, or no answer comes, or one that cannot be understood. Whether the request
                was carried out is not known then.
        """
        async with asyncio.timeout(self._silence_s):
            connection = await self._connection()
            try:
                answer = await connection.exchange(head, body, answer_bytes_max)
            except BaseException:
                connection.abort()
                raise
        if connection.is_reusable and len(self._idle) < _IDLE_MAX:
            self._idle.append(connection)
        else:
            connection.abort()
        return answer

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().abort()

    async def _connection(self) -> "_Connection":
        while self._idle:
            # The last one used: those that too many requests at once have made grow old and are closed by the server.
            connection = self._idle.pop()
            if connection.is_reusable:
                return connection
            connection.abort()
        async with asyncio.timeout(_CONNECT_S):
            _, made = await asyncio.get_running_loop().create_connection(
                _Connection, self._host, self._port, ssl=self._tls
            )
        return made


class _Connection(asyncio.Protocol):
    """One connection: one request at a time, and its answer as it comes."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._come = bytearray()
        self._body_begin = 0
        self._status = 0
        self._length: int | None = None
        self._length_max = 0
        self.is_reusable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_reusable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc or "the connection was closed"))

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():  # nobody has asked for anything
            self.abort()
            return
        self._come += data
        if not self._body_begin and not self._take_head():
            return
        if self._length is None or self._length > self._length_max:
            self._finish(None, is_reusable=False)
            return
        left = self._body_begin + self._length - len(self._come)
        if left < 0:
            self._fail("more came than the answer")
        elif not left:
            self._finish(bytes(self._come[self._body_begin :]), is_reusable=self.is_reusable)

    async def exchange(self, head: bytes, body: bytes, answer_bytes_max: int) -> Answer:
        """See HttpConnections. Once at a time."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._come.clear()
        self._body_begin, self._status, self._length, self._length_max = 0, 0, None, answer_bytes_max
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(head + body)
        return await self._waiting

    def abort(self) -> None:
        """Close at once."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _take_head(self) -> bool:
        """Read the head once all of it has come; a preliminary one is passed over."""
        while True:
            end = self._come.find(b"\r\n\r\n")
            if end < 0:
                if len(self._come) > _HEAD_BYTES_MAX:
                    self._fail("the head of the answer does not end")
                return False
            head = bytes(self._come[:end]).lower()
            status = _STATUS.match(head)
            if status is None:
                self._fail("not an answer in HTTP/1.1")
                return False
            self._status = int(status[1])
            if self._status >= _FIRST_FINAL:
                break
            del self._come[: end + 4]
        self._body_begin = end + 4
        if b"\r\nconnection: close" in head:
            self.is_reusable = False
        if self._status in {_NO_CONTENT, _NOT_MODIFIED}:
            self._length = 0
        elif b"\r\ntransfer-encoding:" not in head:
            length = _LENGTH.search(head)
            self._length = None if length is None else int(length[1])
        return True

    def _finish(self, body: bytes | None, *, is_reusable: bool) -> None:
        # An answer before all was sent: the rest would be taken for the next request.
        is_sent = self._transport is not None and not self._transport.get_write_buffer_size()
        self.is_reusable = is_reusable and is_sent
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(self._status, body))

    def _fail(self, why: str) -> None:
        self.abort()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError(why))
