"""A container's output, from the engine's connection to the event loop.

The engine sends frames: one byte for the stream, three of padding, four for the length (big endian), then
the bytes (Engine API, ContainerAttach). A thread reads them as they come; at most a few MiB wait for a slow
consumer, then the thread stops reading, then the engine, then the container's write.
"""

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from wherry.service.ports.containers import OutputPiece, Source

_HEADER_BYTES = 8
_STDERR = 2
_READ_BYTES = 256 * 1024
_PIECES_MAX = 16


class FrameParser:
    """Takes the engine's frames apart, wherever the connection cut them."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._source = Source.STDOUT

    def feed(self, data: bytes) -> list[OutputPiece]:
        """Return what `data` adds; neighbours from the same stream come as one piece."""
        found: list[tuple[Source, list[bytes]]] = []
        at = 0
        while at < len(data):
            if not self._left:
                at = self._read_header(data, at)
                continue
            chunk = data[at : at + self._left]
            at += len(chunk)
            self._left -= len(chunk)
            if not found or found[-1][0] is not self._source:
                found.append((self._source, []))
            found[-1][1].append(chunk)
        return [OutputPiece(source, b"".join(chunks)) for source, chunks in found]

    def _read_header(self, data: bytes, at: int) -> int:
        wanted = _HEADER_BYTES - len(self._header)
        self._header += data[at : at + wanted]
        if len(self._header) == _HEADER_BYTES:
            stream, self._left = struct.unpack(">BxxxL", self._header)
            self._source = Source.STDERR if stream == _STDERR else Source.STDOUT
            self._header = b""
        return at + wanted


class OutputRelay:
    """Carries output from a thread, which calls `read_all`, to a coroutine, which iterates `pieces`."""

    def __init__(self, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Take over what the SDK's attach_socket returned."""
        self._connection = connection
        self._loop = loop
        self._queue: asyncio.Queue[list[OutputPiece] | None] = asyncio.Queue()
        self._free = threading.Semaphore(_PIECES_MAX)
        self._closed = False

    def read_all(self) -> None:
        """Read until the engine ends the connection or `close` is called. Blocks: run it in a thread."""
        # A Unix socket comes wrapped as a raw file, a TLS connection as it is.
        receive = getattr(self._connection, "recv", None) or self._connection.read
        parser = FrameParser()
        try:
            while not self._closed and (data := receive(_READ_BYTES)):
                if pieces := parser.feed(data):
                    self._free.acquire()
                    self._hand_over(pieces)
        except (OSError, ValueError):
            # Closed under the reader, or lost: the end of the output either way. How the container ended
            # is for wait() to say.
            pass
        finally:
            self._hand_over(None)

    def write_all(self, data: bytes) -> None:
        """Write to the container's standard input, and close that. Blocks: run it in a thread."""
        # A container that ended meanwhile takes nothing; how it ended is for wait() to say.
        with contextlib.suppress(OSError, ValueError), self._same_socket() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

    async def pieces(self) -> AsyncGenerator[OutputPiece]:
        """Yield output in the order in which it was written, until its end."""
        while (batch := await self._queue.get()) is not None:
            self._free.release()
            for piece in batch:
                yield piece

    def close(self) -> None:
        """End the connection; a thread that reads it returns at once."""
        self._closed = True
        self._free.release()
        with contextlib.suppress(OSError, ValueError), self._same_socket() as connection:
            connection.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give the connection's descriptors back; call it when no thread reads any more."""
        # The SDK hangs the response on the connection to keep it alive; nobody else can close it.
        response = getattr(self._connection, "_response", None)
        if response is not None:
            response.close()
        self._connection.close()

    @contextlib.contextmanager
    def _same_socket(self) -> Iterator[socket.socket]:
        if isinstance(self._connection, socket.socket):
            yield self._connection
        else:
            with socket.socket(fileno=os.dup(self._connection.fileno())) as same:
                yield same

    def _hand_over(self, pieces: list[OutputPiece] | None) -> None:
        # The loop is closed when the service was stopped without waiting for us.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, pieces)
