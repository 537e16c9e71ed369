"""A registry of container images on loopback, with images made by tests: the pulling half of its HTTP API."""

import base64
import gzip
import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import docker.errors

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Registry:
    """What it has."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self._mark = uuid.uuid4().hex.encode()
        self.credentials: tuple[str, str] | None = None
        """User and password that are asked for, if any."""
        self.answers = True
        """Whether it answers, or says that something is wrong with it."""
        self.goes_on = threading.Event()
        """While this is not set it keeps whoever asks waiting."""
        self.goes_on.set()
        self.asked = 0
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        """By "repository:reference"."""

    def put(self, name: str, files: Mapping[str, bytes], *, architecture: str = "") -> str:
        """Let a name such as team/image:1 stand for an image with these files; returns its digest."""
        # Equal files in two registries would be one image to the engine, and who removes it takes it from both.
        layer = _layer({**files, "registry": self._mark})
        config = {
            "architecture": architecture or _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        packed, described = gzip.compress(layer), json.dumps(config).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": self._blob(_CONFIG, described),
                "layers": [self._blob(_LAYER, packed)],
            }
        ).encode()
        repository, _, tag = name.partition(":")
        self.manifests[f"{repository}:{tag}"] = manifest
        self.manifests[f"{repository}:{_digest(manifest)}"] = manifest
        return _digest(manifest)

    def docker_config(self, folder: Path) -> Path:
        """A Docker configuration with the credentials."""
        user, password = self.credentials or ("", "")
        path = folder / "config.json"
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        path.write_text(json.dumps({"auths": {self.host: {"auth": secret}}}))
        return path

    def _blob(self, kind: str, content: bytes) -> dict[str, object]:
        self.blobs[_digest(content)] = content
        return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


@contextmanager
def running_registry() -> Iterator[Registry]:
    """A registry that answers until the block is left. Docker speaks plain HTTP to loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Say nothing."""

        def _answer(self, *, with_body: bool) -> None:
            status, headers, body = _response(registry, self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry = Registry(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.goes_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _response(registry: Registry, path: str, authorization: str) -> tuple[int, dict[str, str], bytes]:
    registry.asked += 1
    registry.goes_on.wait()
    if not registry.answers:
        return 503, {}, b"{}"
    if registry.credentials is not None:
        wanted = base64.b64encode(":".join(registry.credentials).encode()).decode()
        if authorization != f"Basic {wanted}":
            errors = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]})
            return 401, {"WWW-Authenticate": 'Basic realm="test"'}, errors.encode()
    if path.rstrip("/") == "/v2":
        return 200, {}, b"{}"
    manifest = re.fullmatch(r"/v2/(.+)/manifests/(.+)", path)
    if manifest and (content := registry.manifests.get(f"{manifest[1]}:{manifest[2]}")) is not None:
        return 200, {"Content-Type": _MANIFEST, "Docker-Content-Digest": _digest(content)}, content
    blob = re.fullmatch(r"/v2/.+/blobs/(.+)", path)
    if blob and blob[1] in registry.blobs:
        return 200, {"Content-Type": "application/octet-stream"}, registry.blobs[blob[1]]
    errors = json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
    return 404, {}, errors.encode()


def forget_images(registry: Registry) -> None:
    """Remove what the engine has from a registry."""
    client: Any = docker.from_env()
    for image in client.api.images():
        # By its names: of an image that has others too only these go.
        for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
            if name.startswith(f"{registry.host}/"):
                with suppress(docker.errors.NotFound):
                    client.images.remove(name, force=True)
    client.close()


def shell_files() -> dict[str, bytes]:
    """A shell and the libraries that it needs: this machine's own."""
    shell = Path("/bin/sh").resolve()
    listed = subprocess.run(["ldd", str(shell)], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    return {"bin/sh": shell.read_bytes(), **{path.lstrip("/"): Path(path).read_bytes() for path in libraries}}


def _layer(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
