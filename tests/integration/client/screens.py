"""A program in a real terminal of the kernel, read by a terminal's emulation."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyte

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
            # Asked first: what it wrote before its end is there to be read.
            ended = self.process.poll() is not None
            if not self._read(0.05) and ended:
                break
        assert is_so(), "\n".join(self.text())

    def end(self) -> int:
        """Read what is still said; returns the exit code."""
        deadline = time.monotonic() + _PATIENCE_S
        ended = False
        while self._read(0.1) or not ended:
            ended = self.process.poll() is not None
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


@contextmanager
def in_terminal(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    columns: int = 80,
    lines: int = 24,
) -> Iterator[Screen]:
    """Start a program; it is killed at the end if it still runs."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        # Ctrl-C comes from the terminal, if it is that of the program's session.
        ["setsid", "--ctty", *map(str, command)],
        cwd=folder,
        env={**environment, "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        yield Screen(columns, lines, process, master)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(master)
