import asyncio
from collections.abc import Awaitable, Callable

import pytest

from wherry.service.adapters.http_connections import Answer, HttpConnections

REQUEST = b"GET /one HTTP/1.1\r\nhost: here\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"

Use = Callable[[HttpConnections], Awaitable[Answer]]


class Server:
    """Answers each request on a connection with the next of some bytes; counts connections."""

    def __init__(self, *answers: bytes, is_last: bool = False) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.serving: set[asyncio.Task[None] | None] = set()
        self.was_asked = asyncio.Event()
        self._is_last = is_last

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.add(asyncio.current_task())
        try:
            while self.answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                self.was_asked.set()
                answer = self.answers.pop(0)
                # In pieces, as they come from a network.
                for begin in range(0, len(answer), 7):
                    writer.write(answer[begin : begin + 7])
                    await writer.drain()
                if self._is_last:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def ask(server: Server, use: Use, *, silence_s: float = 30.0) -> Answer:
    async def run() -> Answer:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        connections = HttpConnections(
            "127.0.0.1", listening.sockets[0].getsockname()[1], tls=None, silence_s=silence_s
        )
        try:
            return await use(connections)
        finally:
            connections.close()
            listening.close()
            await asyncio.gather(*(task for task in server.serving if task is not None))

    return asyncio.run(run())


async def once(connections: HttpConnections) -> Answer:
    return await connections.exchange(REQUEST, answer_bytes_max=100)


async def twice(connections: HttpConnections) -> Answer:
    await once(connections)
    return await once(connections)


def test_a_connection_is_used_again() -> None:
    server = Server(OK, b"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n")
    assert ask(server, twice) == Answer(404, b"")
    assert server.connections == 1
    assert server.requests == [REQUEST, REQUEST]


@pytest.mark.parametrize(
    ("first", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, None),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", None),
    ],
)
def test_a_connection_is_not_used_again_when_it_cannot_be(first: bytes, body: bytes | None) -> None:
    server = Server(first, OK)
    answers = []

    async def use(connections: HttpConnections) -> Answer:
        answers.append(await once(connections))
        return await once(connections)

    assert ask(server, use) == Answer(200, b"body")
    assert answers == [Answer(200, body)]
    assert server.connections == 2


def test_one_that_the_server_has_closed_is_not_used_again() -> None:
    server = Server(OK, OK, is_last=True)

    async def use(connections: HttpConnections) -> Answer:
        await once(connections)
        async with asyncio.timeout(30):
            while True:
                try:
                    return await once(connections)
                except ConnectionError:  # asked in the moment of closing
                    continue

    assert ask(server, use) == Answer(200, b"body")
    assert server.connections == 2


def test_a_preliminary_answer_is_passed_over() -> None:
    assert ask(Server(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), once) == Answer(200, b"body")


def test_an_answer_without_content_has_an_empty_body() -> None:
    assert ask(Server(b"HTTP/1.1 204 No Content\r\n\r\n"), once) == Answer(204, b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example.org ready\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
        b"",
    ],
)
def test_what_is_not_an_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(ConnectionError):
        ask(Server(answer, is_last=True), once)


def test_silence_is_an_error() -> None:
    with pytest.raises(TimeoutError):
        ask(Server(b"", OK), once, silence_s=0.05)


def test_a_request_that_is_given_up_takes_no_answer_from_the_next() -> None:
    server = Server(OK.replace(b"body", b"late"), OK)

    async def use(connections: HttpConnections) -> Answer:
        asking = asyncio.create_task(once(connections))
        await server.was_asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        server.answers[:] = [OK]
        return await once(connections)

    assert ask(server, use) == Answer(200, b"body")
