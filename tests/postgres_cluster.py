"""A PostgreSQL cluster for tests, from the programs of the machine."""

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Self

import psycopg

_START_S = 60
# PostgreSQL refuses to run as root; Debian's package makes this account.
_ACCOUNT = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresCluster:
    """A running cluster that listens on a socket in `folder` and trusts whoever can reach it."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Self]:
        """Make a cluster in an empty folder, start it, and stop it at the end."""
        if os.geteuid() == 0:
            for parent in (folder, *folder.parents):
                if parent.stat().st_mode & 0o001 == 0:
                    parent.chmod(parent.stat().st_mode | 0o111)
            shutil.chown(folder, _ACCOUNT, _ACCOUNT)
        data = folder / "data"
        _run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C.UTF-8",
        )
        settings = ("-c", "listen_addresses=", "-c", "fsync=off", "-k", str(folder))
        with subprocess.Popen(
            _command("postgres", "-D", str(data), *settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        ) as process:
            cluster = cls(folder)
            try:
                cluster._wait(process)
                yield cluster
            finally:
                # At once, whoever may still be connected: SIGTERM would wait for them.
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(timeout=_START_S)
                finally:
                    process.kill()

    def new_database(self) -> str:
        """Make an empty database; its SQLAlchemy URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(host=str(self.folder), user="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(host=str(self.folder), user="postgres").close()
            except psycopg.OperationalError:
                assert process.poll() is None, "PostgreSQL has ended"
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                Event().wait(0.05)
            else:
                return


def _run(program: str, *args: str) -> None:
    subprocess.run(_command(program, *args), check=True, capture_output=True, cwd="/")


def _command(program: str, *args: str) -> list[str]:
    found = shutil.which(program) or str(_programs() / program)
    drop = (
        ["setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--clear-groups"]
        if os.geteuid() == 0
        else []
    )
    return [*drop, found, *args]


def _programs() -> Path:
    """Debian keeps the server's programs out of PATH; the newest version counts."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    assert versions, "no PostgreSQL on this machine: scripts/postgres.sh"
    return max(versions, key=lambda path: float(path.parent.name))
