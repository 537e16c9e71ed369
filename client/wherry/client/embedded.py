"""The embedded service of this machine: started in the background, found by `service.json`, stopped by signal."""

import contextlib
import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.client.address import EmbeddedRecord, read_embedded
from wherry.client.client import Client
from wherry.client.errors import BadConfiguration, Refused, Unreachable
from wherry.v1.system_pb2 import GetInfoResponse

MODULE = "wherry.service"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0
_POLL_S = 0.1
_LAST_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What can be said of the embedded service now."""

    record: EmbeddedRecord | None
    """Set when its process lives."""
    info: GetInfoResponse | None
    """Set when it answers."""


class EmbeddedService:
    """The service that keeps its state in one home folder."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        """Take the home folder and the environment that the service is to have."""
        self.home = home
        self.log_file = home / "service.log"
        self._environ = environ

    def status(self, *, timeout: float = 5.0) -> Status:
        """See whether it runs and answers; waits `timeout` seconds for an answer."""
        record = read_embedded(self.home)
        if record is None or not is_service_process(record.pid):
            return Status(record=None, info=None)
        try:
            with Client(server=record.address, environ=self._client_environ()) as client:
                return Status(record=record, info=client.info(timeout=timeout))
        except Unreachable:
            return Status(record=record, info=None)

    def start(self, waiting: Callable[[float], None]) -> tuple[Status, bool]:
        """Start it unless it runs; returns when it answers, with whether it was started now.

        `waiting` hears the seconds that have passed.

        Raises:
            BadConfiguration: if the service is not installed here.
            Refused: if the process ends, or does not answer in time; with the end of its log.
        """
        if not _is_installed():
            raise BadConfiguration(
                "the service is not installed here",
                hint="pip install 'wherry[service]'",
                reason="SERVICE_NOT_INSTALLED",
            )
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._only_one():
            status = self.status()
            if status.info is not None:
                return status, False
            if status.record is not None:
                return self._wait(lambda: None, waiting), False
            process, log_from = self._spawn()
            return self._wait(process.poll, waiting, log_from), True

    def stop(self) -> int | None:
        """Stop it, and wait until it is gone; returns the pid that it had, None when it did not run.

        Raises:
            Refused: if it does not end in time.
        """
        record = read_embedded(self.home)
        if record is None or not is_service_process(record.pid):
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_DEADLINE_S
        while is_service_process(record.pid):
            if time.monotonic() > deadline:
                raise Refused(
                    f"the service (pid {record.pid}) has not ended after {STOP_DEADLINE_S:.0f} s",
                    hint=f"see {self.log_file}",
                )
            threading.Event().wait(_POLL_S)
        return record.pid

    def _spawn(self) -> tuple["subprocess.Popen[bytes]", int]:
        with self.log_file.open("ab") as log:
            self.log_file.chmod(0o600)
            # A session of its own: closing the terminal or Ctrl-C there must not end it.
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, "--home", str(self.home)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.home,
                env=dict(self._environ),
            )
            return process, log.tell()

    def _wait(
        self, ended: Callable[[], int | None], waiting: Callable[[float], None], log_from: int = 0
    ) -> Status:
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < START_DEADLINE_S:
            code = ended()
            if code is not None:
                raise Refused(
                    f"the service ended at once, with code {code}:\n{self.last_log(log_from)}",
                    hint=f"all of its log is in {self.log_file}",
                    reason="SERVICE_ENDED",
                )
            status = self.status(timeout=2)
            if status.info is not None:
                return status
            waiting(passed)
            threading.Event().wait(_POLL_S)
        raise Refused(
            f"the service does not answer after {START_DEADLINE_S:.0f} s:\n{self.last_log(log_from)}",
            hint=f"all of its log is in {self.log_file}; `wherry down` stops it",
            reason="SERVICE_SILENT",
        )

    def last_log(self, log_from: int = 0) -> str:
        """Return the last lines that it wrote after a position in its log."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(log_from)
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return "  (no log)"
        return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:]) or "  (it wrote nothing)"

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[None]:
        """Two `wherry up` at once start one service."""
        with (self.home / "up.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _client_environ(self) -> dict[str, str]:
        """This very service is meant, whatever the environment names."""
        names = {"WHERRY_SERVER", "WHERRY_TOKEN"}
        kept = {key: value for key, value in self._environ.items() if key not in names}
        return {**kept, "WHERRY_HOME": str(self.home)}


def is_service_process(pid: int) -> bool:
    """Whether a living process with this pid is a service of ours: pids are used again."""
    if pid <= 0:
        return False
    command_line = Path(f"/proc/{pid}/cmdline")
    try:
        if Path("/proc/self").exists():
            # A process that ended but was not waited for has an empty command line.
            return MODULE.encode() in command_line.read_bytes()
        done = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False, text=True
        )
    except OSError:
        return False
    return MODULE in done.stdout


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec(MODULE + ".__main__") is not None
    except ModuleNotFoundError:
        return False
