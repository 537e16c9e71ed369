"""What is on the screen while a run is watched: the program in a real terminal of the kernel, read by a terminal's emulation."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyte
import pytest

from tests.integration.client.conftest import WHERRY
from tests.integration.client.fake_service import FakeService
from wherry.v1 import runs_pb2

_PATIENCE_S = 60


@dataclass
class Screen:
    """A terminal with a program in it."""

    columns: int
    lines: int
    process: subprocess.Popen[bytes]
    master: int
    raw: bytes = b""
    emulated: pyte.Screen = field(init=False)

    def __post_init__(self) -> None:
        self.emulated = pyte.Screen(self.columns, self.lines)
        self._stream = pyte.ByteStream(self.emulated)

    def text(self) -> list[str]:
        return [line.rstrip() for line in self.emulated.display if line.strip()]

    def until(self, is_so: Callable[[], bool]) -> None:
        """Read until something is so, or the program has ended."""
        deadline = time.monotonic() + _PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, "\n".join(self.text())
            if not self._read(0.05) and self.process.poll() is not None:
                break
        assert is_so(), "\n".join(self.text())

    def end(self) -> int:
        """Read what is still said; returns the exit code."""
        deadline = time.monotonic() + _PATIENCE_S
        while self._read(0.1) or self.process.poll() is None:
            assert time.monotonic() < deadline, "\n".join(self.text())
        return self.process.wait(timeout=_PATIENCE_S)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.emulated.resize(lines, columns)

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], wait_s)
        if not ready:
            return False
        try:
            data = os.read(self.master, 65_536)
        except OSError:  # the program has closed its side
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)


Start = Callable[..., Screen]


@pytest.fixture
def start(project: Path, service: FakeService, environment: dict[str, str]) -> Iterator[Start]:
    started: list[Screen] = []

    def begin(*arguments: str, columns: int = 80, lines: int = 24, **extra: str) -> Screen:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        kept = {
            key: value
            for key, value in environment.items()
            if key not in {"CI", "GITHUB_ACTIONS", "GITLAB_CI"}
        }
        process = subprocess.Popen(
            # Ctrl-C comes from the terminal, if it is that of the program's session.
            ["setsid", "--ctty", str(WHERRY), *arguments],
            cwd=project,
            env={**kept, "WHERRY_SERVER": service.address, "TERM": "xterm-256color", **extra},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        screen = Screen(columns, lines, process, master)
        started.append(screen)
        return screen

    yield begin
    for screen in started:
        if screen.process.poll() is None:
            screen.process.send_signal(signal.SIGKILL)
            screen.process.wait()
        os.close(screen.master)


def _stages(service: FakeService, count: int) -> None:
    for number in range(count):
        service.script.run.stages.add(name=f"train@{number:03}", state=runs_pb2.STATE_QUEUED)


def _hit(name: str) -> runs_pb2.StageRecord:
    return runs_pb2.StageRecord(
        name=name,
        state=runs_pb2.STATE_SUCCEEDED,
        cache=runs_pb2.CACHE_USE_HIT,
        from_run="37",
        from_user="bob",
        wall_s=192,
    )


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("colour", ["never", "always"])
def test_each_stage_has_a_line_that_stays_in_place(
    start: Start, service: FakeService, columns: int, colour: str
) -> None:
    script = service.script
    for name in ("prepare", "train", "evaluate"):
        script.run.stages.add(name=name, state=runs_pb2.STATE_QUEUED)
    script.events = [_hit("prepare"), runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_RUNNING)]
    script.lines = [("train", f"epoch {number} 日本語 {'x' * 300}".encode()) for number in range(8)]
    script.never_ends = True
    screen = start("repro", "--color", colour, columns=columns)
    screen.until(
        lambda: any("epoch 7" in line for line in screen.text()) and "Ctrl-C detaches" in screen.text()[-1]
    )
    shown = screen.text()
    assert "prepare   cached from run 37 by bob, saved 3m12s" in shown
    assert any(line.startswith("train     running ") for line in shown)
    assert "evaluate  waiting" in shown
    assert any(line.startswith("Run 42 brave-otter · 1 of 3 done") for line in shown)
    # Long lines are cut, not broken: each line of output is one of the screen, the last ones only.
    output = [line for line in shown if "| epoch" in line]
    assert [line.split("epoch ")[1][0] for line in output] == ["3", "4", "5", "6", "7"]
    assert all(line.endswith("…") for line in output)
    assert (b"\x1b[36mcached" in screen.raw) == (colour == "always")
    # Ctrl-C leaves the screen as it is, the cursor seen, and says how to come back.
    screen.type(b"\x03")
    assert screen.end() == 0
    assert any(
        line.startswith("Detached; run 42 goes on. `wherry attach 42` comes back") for line in screen.text()
    )
    assert screen.raw.rindex(b"\x1b[?25h") > screen.raw.rindex(b"\x1b[?25l")


def test_more_stages_than_lines_are_folded_and_a_smaller_terminal_shows_less(
    start: Start, service: FakeService
) -> None:
    _stages(service, 500)
    script = service.script
    script.events = [
        *(_hit(f"train@{number:03}") for number in range(300)),
        runs_pb2.StageRecord(name="train@300", state=runs_pb2.STATE_FAILED, reason="exited with 3"),
        *(
            runs_pb2.StageRecord(name=f"train@{number}", state=runs_pb2.STATE_RUNNING)
            for number in range(301, 304)
        ),
    ]
    script.never_ends = True
    screen = start("repro", lines=20)
    folded = "… and more of 500 stages: 300 cached, 1 failed, 3 running, 196 waiting"
    screen.until(lambda: folded in screen.text())
    shown = screen.text()
    assert len(shown) <= 20
    assert any(line.startswith("train@300  failed: exited with 3") for line in shown)
    assert sum("running" in line and line.startswith("train@") for line in shown) == 3
    screen.resize(60, 10)
    screen.until(lambda: len(screen.text()) <= 10 and any("of 500 stages" in line for line in screen.text()))
    assert sum("running" in line and line.startswith("train@") for line in screen.text()) == 3


def test_at_the_end_generated_stages_are_told_in_one_line(start: Start, service: FakeService) -> None:
    _stages(service, 500)
    script = service.script
    script.events = [_hit(stage.name) for stage in script.run.stages]
    script.run.state = runs_pb2.STATE_SUCCEEDED
    for stage, event in zip(script.run.stages, script.events, strict=True):
        assert isinstance(event, runs_pb2.StageRecord)
        stage.CopyFrom(event)
    screen = start("repro")
    assert screen.end() == 0
    assert "train@*    500 cached" in screen.text()
    assert len(screen.text()) < 10


def test_with_plain_progress_a_terminal_gets_lines_like_any_log(start: Start, service: FakeService) -> None:
    script = service.script
    script.run.stages.add(name="train")
    script.events = [runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_RUNNING)]
    script.lines = [("train", b"epoch 1")]
    script.run.state = runs_pb2.STATE_SUCCEEDED
    screen = start("--progress", "plain", "repro")
    assert screen.end() == 0
    assert "train  | epoch 1" in screen.text()
    assert b"\x1b[?25l" not in screen.raw
