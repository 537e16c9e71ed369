"""A TCP proxy under which every transfer of some size stands still until it is let go on. On loopback, for tests."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_CHUNK = 64 * 1024
# Who sends must notice soon that nothing is taken any more.
_BUFFER_BYTES = 256 * 1024


@dataclass
class StallingProxy:
    """Passes on to `upstream`, (host, port), what comes to its own port."""

    upstream: tuple[str, int]
    after: int
    """Connections stand still once this many bytes went one way."""
    port: int = 0
    spared: int = 0
    """How many of those that come so far next go on all the same."""
    stalled: threading.Event = field(default_factory=threading.Event)
    """Set while one stands still."""
    _may_go: threading.Event = field(default_factory=threading.Event)
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sockets: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    def stall(self, *, spared: int = 0) -> None:
        """From now on transfers stand still."""
        self.spared = spared
        self.stalled.clear()
        self._may_go.clear()

    def let_go(self) -> None:
        """Pass everything on, from now on too."""
        self._may_go.set()

    def serve(self, listener: socket.socket) -> None:
        """Take in connections until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.upstream)
            with self._lock:
                self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        """Break all connections."""
        self._stopped = True
        self.let_go()
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        passed, is_counted = 0, True
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                sink.sendall(data)
                passed += len(data)
                if is_counted and passed >= self.after and not self._may_go.is_set():
                    is_counted = not self._is_spared()
                    if is_counted:
                        self.stalled.set()
                        self._may_go.wait()
        # Either end has gone: the other learns it.
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _is_spared(self) -> bool:
        with self._lock:
            self.spared -= 1
            return self.spared >= 0


@contextlib.contextmanager
def stalling_proxy(upstream: str, *, after: int) -> Iterator[StallingProxy]:
    """Run one before `upstream`, HOST:PORT. Until it is told otherwise it passes everything on."""
    host, _, port = upstream.rpartition(":")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    proxy = StallingProxy((host, int(port)), after, port=listener.getsockname()[1])
    proxy.let_go()
    thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=60)
        proxy.close()
