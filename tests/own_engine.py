"""A Docker engine of a test's own, beside the one that all tests share: with settings that the other must not have."""

import contextlib
import io
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker

from tests.registry import shell_files

_DEADLINE_S = 60


@contextlib.contextmanager
def own_engine(*, runtimes: Mapping[str, Path]) -> Iterator[str]:
    """An engine that also has these runtimes; yields its address. It has no network, and keeps nothing."""
    # Not below the test's folder: the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="own-engine-"))
    address = f"unix://{folder}/docker.sock"
    # In a network and with mounts of its own: told to have no bridge an engine takes away the machine's, and it may leave
    # its folder mounted.
    command: list[str | Path] = [
        "unshare",
        "--net",
        "--mount",
        "dockerd",
        "--data-root",
        folder / "data",
        "--exec-root",
        folder / "exec",
    ]
    command += ["--pidfile", folder / "pid", "--host", address]
    command += ["--bridge", "none", "--iptables=false", "--ip6tables=false"]
    command += [f"--add-runtime={name}={program}" for name, program in runtimes.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(_DEADLINE_S)
        shutil.rmtree(folder, ignore_errors=True)


def import_shell(address: str, name: str) -> str:
    """Make an image of nothing but a shell; returns its id."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, data in shell_files().items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    client = docker.DockerClient(base_url=address)
    try:
        client.api.import_image_from_data(content.getvalue(), repository=name, tag="1")
        return str(client.images.get(f"{name}:1").id)
    finally:
        client.close()


def _wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    # By hand: the SDK drops the socket of a failed connection without closing it.
    while not _listens(address.removeprefix("unix://")):
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True
