"""A service for the time of a benchmark: it ends with it, also when the benchmark is ended from outside."""

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.stand import WHERRY, Shell

_ENDED = frozenset({"succeeded", "failed", "cancelled", "skipped", "lost"})
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
        _call(environment, folder, "up")
        try:
            for number in _SIGNALS:
                signal.signal(number, _end)
            if asked:
                raise SystemExit(128 + asked[0])
            yield
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            try:
                _stop_runs(environment, folder)
            finally:
                _call(environment, folder, "down")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_runs(environment: Mapping[str, str], folder: Path) -> None:
    """Stop what still runs: stages go on without their service, which finds them when it is started again. None will be."""
    listed = json.loads(_call(environment, folder, "ps", "--all", "--number", "1000", "--json"))
    going = [run["id"] for run in listed["runs"] if run["state"] not in _ENDED]
    if going:
        _call(environment, folder, "stop", *going)
        _call(environment, folder, "wait", *going, ends=range(256))


def _call(
    environment: Mapping[str, str], folder: Path, *command: str, ends: Container[int] = frozenset({0})
) -> str:
    # In a group of its own: `timeout` and terminals signal all of ours.
    done = subprocess.run(
        [WHERRY, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        process_group=0,
    )
    if done.returncode not in ends:
        raise SystemExit(
            f"`wherry {' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
