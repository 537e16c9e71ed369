"""A TCP proxy that cuts every connection after a short while, as some do. On loopback, for tests."""

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

# Close means reset: nobody is told that it was the end.
_RESET = struct.pack("ii", 1, 0)
_CHUNK = 64 * 1024


@dataclass
class CuttingProxy:
    """Passes on to `upstream`, (host, port), what comes to its own port."""

    upstream: tuple[str, int]
    port: int = 0
    cuts: int = 0
    """How many connections were cut."""
    lasts_s: tuple[float, float] = (0.3, 1.5)
    """How long a new connection lasts: at least, at most."""
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """As WHERRY_SERVER has it."""
        return f"grpc://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket) -> None:
        """Take in connections until the listener is closed."""
        threads = []
        while not self.stopped.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                break
            threads.append(threading.Thread(target=self._connect, args=(client,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.upstream)
        except OSError:
            client.close()
            return
        ways = [
            threading.Thread(target=_pass_on, args=(client, server), daemon=True),
            threading.Thread(target=_pass_on, args=(server, client), daemon=True),
        ]
        for way in ways:
            way.start()
        ways[0].join(timeout=self.chance.uniform(*self.lasts_s))
        self.cuts += ways[0].is_alive()
        for end in (client, server):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                # Wakes the thread that reads; the other half is never told.
                end.shutdown(socket.SHUT_RD)
            end.close()
        for way in ways:
            way.join()


@contextlib.contextmanager
def cutting_proxy(upstream: str, *, seed: int = 0) -> Iterator[CuttingProxy]:
    """Run one before `upstream`, HOST:PORT."""
    host, _, port = upstream.rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = CuttingProxy((host, int(port)), port=listener.getsockname()[1], chance=random.Random(seed))
    thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
