"""A Docker engine of a test's own, beside the one that all tests share: it may have other settings, be killed and started again."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker

from tests.registry import shell_files

_READY_S = 60
_PROGRAMS = ("sh", "sleep", "cp", "cat", "mkdir", "rm", "env")


class OwnEngine:
    """One dockerd without a network; it starts a containerd of its own, which dies with it. All its files are its own."""

    def __init__(self, folder: Path, *, runtimes: Mapping[str, Path]) -> None:
        """Keep everything in `folder`; containers may run in these `runtimes` too."""
        self.folder = folder
        self._runtimes = [f"--add-runtime={name}={program}" for name, program in runtimes.items()]
        self.host = f"unix://{folder / 'docker.sock'}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        # It takes the place of one that was killed.
        for left in ("docker.pid", "exec/containerd/containerd.pid"):
            (self.folder / left).unlink(missing_ok=True)
        settings = self.folder / "daemon.json"
        settings.write_text("{}")
        # In a network of its own: an engine that is told to have no bridge takes away the machine's.
        command = [
            "unshare",
            "--net",
            "dockerd",
            f"--host={self.host}",
            f"--data-root={self.folder / 'data'}",
            f"--exec-root={self.folder / 'exec'}",
            f"--pidfile={self.folder / 'docker.pid'}",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            f"--config-file={settings}",
            *self._runtimes,
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + _READY_S
        while self._docker("version").returncode != 0:
            assert self._process.poll() is None, (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once; nobody is told."""
        self._end(signal.SIGKILL)
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.folder / "exec/containerd/containerd.pid").read_text()), signal.SIGKILL)

    def stop(self) -> None:
        """End it as a service manager does, containers first."""
        self._end(signal.SIGTERM)

    def make_image(self, name: str) -> None:
        """Make a small image of a shell and a few programs of this machine: copying a large one takes too long."""
        importing = ["docker", "-H", self.host, "import", "-", name]
        subprocess.run(importing, input=_root_file_system(), check=True, capture_output=True)

    def running(self) -> list[str]:
        """Ids of containers that run."""
        return self._docker("ps", "-q").stdout.decode().split()

    def _docker(self, *args: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["docker", "-H", self.host, *args], capture_output=True, timeout=_READY_S, check=False
        )

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(timeout=_READY_S)
            finally:
                self._process.kill()
                self._process = None

    def clear(self) -> None:
        """End it, with what it may have left running."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        for pid in _pids_under(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        for at in sorted((line.split()[4] for line in mounts), reverse=True):
            if at.startswith(str(self.folder)):
                subprocess.run(["umount", "-l", at], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


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


def _root_file_system() -> bytes:
    """A tar of the programs, and of the libraries that they need, at their places."""
    programs = [Path(found) for name in _PROGRAMS if (found := shutil.which(name))]
    listed = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout
    libraries = {Path(word) for word in listed.split() if word.startswith("/") and not word.endswith(":")}
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for program in programs:
            archive.add(program.resolve(), f"bin/{program.name}")
        for library in libraries:
            archive.add(library.resolve(), str(library).lstrip("/"))
    return written.getvalue()


def _pids_under(folder: Path) -> Iterator[int]:
    """Processes that were told of files in the folder: containerd and its shims."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    yield int(entry.name)


@contextlib.contextmanager
def own_engine(*, runtimes: Mapping[str, Path] | None = None) -> Iterator[OwnEngine]:
    """Make one, in a folder whose path is short enough for a socket."""
    engine = OwnEngine(Path(tempfile.mkdtemp(prefix="wte-")), runtimes=runtimes or {})
    try:
        engine.start()
        yield engine
    finally:
        engine.clear()
