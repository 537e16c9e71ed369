"""What it costs to watch a large run on a terminal: the client's CPU time, as a share of the time that the run takes.

    python -m bench.watching [--stages N] [--seconds S]

A service that only tells lets N stages go through their states in S seconds, eight at a time, each writing ten lines in
a second; the real client watches it on a pseudo-terminal of 200 by 50.
"""

import argparse
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from tests.integration.client.fake_service import FakeService
from wherry.v1 import runs_pb2

_WHERRY = Path(sys.executable).with_name("wherry")
_AT_ONCE = 8
_LINES_PER_S = 10


class LargeRun(FakeService):
    """A run whose stages come and go at an even pace."""

    def __init__(self, stages: int, seconds: float) -> None:
        """Say how many, and in which time."""
        self._names = [f"train@{number:05}" for number in range(stages)]
        self._pace_s = seconds / stages
        self._running: dict[str, None] = {}
        self._over = threading.Event()
        super().__init__()
        for name in self._names:
            self.script.run.stages.add(name=name, state=runs_pb2.STATE_QUEUED)

    def WatchRun(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.WatchRunRequest, context: grpc.ServicerContext
    ) -> Iterator[runs_pb2.WatchRunResponse]:
        """Tell of each stage: running, then done."""
        sequence = 0
        for index in range(len(self._names) + _AT_ONCE):
            changed = []
            if index < len(self._names):
                self._running[self._names[index]] = None
                changed.append(runs_pb2.StageRecord(name=self._names[index], state=runs_pb2.STATE_RUNNING))
            if index >= _AT_ONCE:
                ended = self._names[index - _AT_ONCE]
                self._running.pop(ended, None)
                changed.append(runs_pb2.StageRecord(name=ended, state=runs_pb2.STATE_SUCCEEDED, wall_s=1.0))
            for stage in changed:
                sequence += 1
                yield runs_pb2.WatchRunResponse(sequence=sequence, stage=stage)
            self._over.wait(self._pace_s)
        self.script.run.state = runs_pb2.STATE_SUCCEEDED
        last = runs_pb2.Run(id="42", name="brave-otter", state=runs_pb2.STATE_SUCCEEDED)
        yield runs_pb2.WatchRunResponse(sequence=sequence + 1, run=last)
        self._over.set()

    def TailLogs(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.TailLogsRequest, context: grpc.ServicerContext
    ) -> Iterator[runs_pb2.TailLogsResponse]:
        """Write lines for all that run."""
        sequence = 0
        while not self._over.wait(1 / _LINES_PER_S):
            lines = []
            for name in list(self._running):
                sequence += 1
                text = f"epoch {sequence}  loss {1 / sequence:.4f}".encode()
                lines.append(
                    runs_pb2.LogLine(
                        sequence=sequence, stage=name, stream=runs_pb2.LOG_STREAM_STDOUT, text=text
                    )
                )
            yield runs_pb2.TailLogsResponse(lines=lines)
        yield runs_pb2.TailLogsResponse(done=True)


def watch(address: str) -> tuple[float, float]:
    """Watch the run as a user does; returns seconds of the clock and of the processor."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder:
        project = Path(folder) / "project"
        (project / ".dvc").mkdir(parents=True)
        (project / "dvc.yaml").write_text("stages: {}\n")
        kept = {key: value for key, value in os.environ.items() if key != "CI"}
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        begin = time.perf_counter()
        process = subprocess.Popen(
            [str(_WHERRY), "repro"],
            cwd=project,
            env={**kept, "WHERRY_SERVER": address, "WHERRY_HOME": folder, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        threading.Thread(target=_drain, args=(master,), daemon=True).start()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime


def _drain(master: int) -> None:
    try:
        while os.read(master, 65_536):
            pass
    except OSError:  # the program has ended
        return


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    service = LargeRun(given.stages, given.seconds)
    try:
        wall_s, cpu_s = watch(service.address)
    finally:
        service.stop()
    print(
        f"watching {given.stages} stages for {wall_s:.0f} s: {cpu_s:.2f} s CPU, {100 * cpu_s / wall_s:.1f} % of a core"
        " (promised: under 10 %)"
    )


if __name__ == "__main__":
    main()
