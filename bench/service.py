"""A service for the time of a benchmark: it ends with it, also when the benchmark is ended from outside."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.stand import WHERRY, Shell


@contextmanager
def served() -> Iterator[tuple[Path, Shell]]:
    """A service in a folder of its own, with the programs that talk to it; both are gone afterwards."""
    scratch = Path(tempfile.mkdtemp(prefix="wherry-bench-"))
    shell = Shell(scratch / "home")
    try:
        with running(lambda verb: shell.run(WHERRY, verb, cwd=scratch)):
            yield scratch, shell
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def running(call: Callable[[str], object]) -> Iterator[None]:
    """Start a service and end it: by `call`, which carries out `wherry up` or `wherry down`.

    SIGTERM and SIGHUP, which would end Python on the spot and leave the service behind, end the benchmark as Ctrl-C does.
    """
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _end) for number in signals}
    try:
        call("up")
        yield
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        try:
            call("down")
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
