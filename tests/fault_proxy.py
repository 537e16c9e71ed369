"""An HTTP proxy before a real store that fails as it is told to. On loopback, for tests."""

import http.client
import http.server
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    method: str = ""
    """Only to requests with this method; empty: to any."""
    mark: str = ""
    """Only to requests whose address contains this."""
    status: int = 0
    """Answer with this instead of asking the store."""
    code: str = "InternalError"
    """S3's word for the error."""
    cut_after: int | None = None
    """Pass on so many bytes of the body, then break the connection."""
    pause_after: int | None = None
    """Pass on so many bytes of the body, and the rest when the test says so."""
    hold_after: int | None = None
    """Pass on so many bytes of what is sent, and the rest when the test says so."""
    drop: bool = False
    """Break the connection without an answer; the store is not asked."""
    drop_answer: bool = False
    """Ask the store, then break the connection without an answer."""
    delay_s: float = 0
    """Ask the store only after so long."""
    hang: bool = False
    """Keep the connection without an answer until the proxy is stopped or the client goes."""
    garble: bool = False
    """Pass on a body of the right length with other bytes."""


@dataclass
class FaultProxy:
    """Stands before `upstream`, and does to requests what `faults` say, first come first served."""

    upstream: str
    url: str = ""
    faults: deque[Fault] = field(default_factory=deque)
    always: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    signing_keys: tuple[str, str] | None = None
    """Access and secret key, to sign anew what is changed on the way."""
    ignored_headers: set[str] = field(default_factory=set)
    """In lower case: what the store is to know nothing of; takes `signing_keys`."""
    body_bytes: int = 0
    """How much was passed on of answers."""
    resumed: threading.Event = field(default_factory=threading.Event)
    """Set by the test for what pauses or is held."""
    held: threading.Event = field(default_factory=threading.Event)
    """Set when the first part of what is held was passed on."""
    stopped: threading.Event = field(default_factory=threading.Event)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def fault_for(self, method: str, path: str) -> Fault | None:
        def applies(fault: Fault) -> bool:
            return fault.method in {"", method} and fault.mark in path

        # Requests come on many threads, and each fault is for one of them.
        with self._one_at_a_time:
            for fault in tuple(self.faults):
                if applies(fault):
                    self.faults.remove(fault)
                    return fault
        return next(filter(applies, tuple(self.always)), None)


def _is_of_signature(pair: tuple[str, str]) -> bool:
    return pair[0].startswith("X-Amz-")


@contextmanager
def fault_proxy(
    upstream: str, *, tls: ssl.SSLContext | None = None, signing_keys: tuple[str, str] | None = None
) -> Iterator[FaultProxy]:
    """Run one."""
    proxy = FaultProxy(upstream, signing_keys=signing_keys)

    class Handler(_Handler):
        owner = proxy

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        proxy.resumed.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        body = self._read_body()
        self.owner.requests.append(f"{self.command} {self.path}")
        fault = self.owner.fault_for(self.command, self.path) or Fault()
        if fault.delay_s:
            self.owner.stopped.wait(fault.delay_s)
        if fault.hang:
            self.owner.stopped.wait(60)
        if fault.hang or fault.drop:
            self.close_connection = True
        elif fault.status:
            self._refuse(fault)
        else:
            self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815 - named by http.server

    def _read_body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def handle_expect_100(self) -> bool:
        return True

    def _refuse(self, fault: Fault) -> None:
        said = f"<Error><Code>{fault.code}</Code><Message>as told</Message></Error>".encode()
        self.send_response(fault.status)
        self.send_header("Content-Length", str(0 if self.command == "HEAD" else len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    def _pass_on(self, body: bytes, fault: Fault) -> None:
        upstream = http.client.HTTPConnection(urlsplit(self.owner.upstream).netloc, timeout=60)
        try:
            # With the client's Host: it is part of what was signed.
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            path = self.path
            if self.owner.ignored_headers & {name.lower() for name in headers}:
                path, headers = self._signed_without(headers)
            sent = body if fault.hold_after is None else self._in_two_parts(body, fault.hold_after)
            upstream.request(self.command, path, sent, headers)
            answer = upstream.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            # Who is behind a store that has gone sees its connection go.
            self.close_connection = True
            return
        finally:
            upstream.close()
        if fault.drop_answer:
            self.close_connection = True
            return
        self._answer(answer, data, fault)

    def _in_two_parts(self, body: bytes, first: int) -> Iterator[bytes]:
        yield body[:first]
        self.owner.held.set()
        self.owner.resumed.wait(240)
        yield body[first:]

    def _signed_without(self, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
        """The request without the headers that are ignored, signed in its headers."""
        assert self.owner.signing_keys is not None
        dropped = self.owner.ignored_headers | {"authorization"}
        kept = {name: value for name, value in headers.items() if name.lower() not in dropped}
        address = urlsplit(self.path)
        query = [
            pair for pair in parse_qsl(address.query, keep_blank_values=True) if not _is_of_signature(pair)
        ]
        path = address.path + (f"?{urlencode(query)}" if query else "")
        kept["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        kept.pop("X-Amz-Content-SHA256", None)
        request = AWSRequest(self.command, f"http://{self.headers['Host']}{path}", headers=kept)
        S3SigV4Auth(Credentials(*self.owner.signing_keys), "s3", "us-east-1").add_auth(request)
        return path, dict(request.headers.items())

    def _answer(self, answer: http.client.HTTPResponse, data: bytes, fault: Fault) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if fault.garble:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if fault.cut_after is not None:
            data = data[: fault.cut_after]
            self.close_connection = True
        if fault.pause_after is not None:
            self.wfile.write(data[: fault.pause_after])
            self.owner.body_bytes += fault.pause_after
            self.owner.resumed.wait(60)
            data = data[fault.pause_after :]
        self.wfile.write(data)
        self.owner.body_bytes += len(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
        """Say nothing."""
