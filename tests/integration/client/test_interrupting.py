"""Ctrl-C ends a command soon, whatever it waits for."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.client.conftest import WHERRY
from tests.integration.client.fake_service import FakeService

_DEADLINE_S = 60

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(service: FakeService, project: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Start a command; it is killed if a test leaves it."""
    with contextlib.ExitStack() as started:

        def run(*words: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [str(WHERRY), "--server", service.address, *words],
                cwd=project,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield run


def _interrupt(process: subprocess.Popen[str], is_time: Callable[[], bool]) -> tuple[int, str, str]:
    """Interrupt it in the middle of what it does."""
    deadline = time.monotonic() + _DEADLINE_S
    while not is_time():
        assert process.poll() is None, "it ended too soon"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=_DEADLINE_S)
    return process.returncode, out, err


def test_files_that_do_not_come_are_not_waited_for(service: FakeService, project: Path, start: Start) -> None:
    service.script.never_ends = True
    stage = service.script.run.stages.add(name="train")
    for number in range(4):
        content = str(number).encode()
        stage.outs.add(path=f"model/{number}", hash=service.hold(content), size_bytes=1, cache=True)

    ended = _interrupt(start("pull", "42", "-q"), lambda: service.calls["download"] > 0)

    assert ended == (252, "", "interrupted\n")
    assert not (project / "model" / "0").exists()


def test_who_follows_logs_leaves(service: FakeService, start: Start) -> None:
    service.script.never_ends = True
    service.script.lines = [("train", b"epoch 1")]

    ended = _interrupt(start("logs", "-f", "42"), lambda: service.calls["logs"] == 1)

    assert (ended[0], ended[2]) == (0, "")
