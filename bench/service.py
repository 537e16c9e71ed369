"""A service for the time of a benchmark: it ends with it, also when the benchmark is ended from outside."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.stand import WHERRY, Shell

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def served() -> Iterator[tuple[Path, Shell]]:
    """A service in a folder of its own, with the programs that talk to it; both are gone afterwards."""
    scratch = Path(tempfile.mkdtemp(prefix="wherry-bench-"))
    shell = Shell(scratch / "home")
    try:
        with running(shell.environment, scratch):
            yield scratch, shell
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def running(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Start the service of an environment, in which its home is named, and end it.

    SIGTERM and SIGHUP, which would end Python on the spot and leave the service behind, end the benchmark as Ctrl-C does.
    While the service starts or ends, all three wait: half started it would come up after all.
    """
    asked: list[int] = []
    before = {number: signal.signal(number, lambda got, _: asked.append(got)) for number in _SIGNALS}
    try:
        _call("up", environment, folder)
        try:
            for number in _SIGNALS:
                signal.signal(number, _end)
            if asked:
                raise SystemExit(128 + asked[0])
            yield
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            _call("down", environment, folder)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _call(verb: str, environment: Mapping[str, str], folder: Path) -> None:
    # In a group of its own: `timeout` and terminals signal all of ours.
    done = subprocess.run(
        [WHERRY, verb],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        process_group=0,
    )
    if done.returncode != 0:
        raise SystemExit(f"`wherry {verb}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
