"""A thousand who watch one run: what each costs the service, and whether those who read slowly hold up a stage.

    python -m bench.watchers [--watchers N] [--lines N] [--json] [--check]

One stage writes numbered lines as fast as it can; first alone, then with N streams of its events and lines open on as many
connections as --connections says. Every tenth watcher stops reading after its first message. The figures: how long the
stage took alone and watched, what each watcher added to the service's memory, the processor's time of the service for
each line that it delivered, and that every watcher that reads has every line, once, in order.
"""

import argparse
import json
import resource
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
from bench.service import served
from bench.wire import User, cpu_s, project_of, resident_mb, service_of

from wherry.v1 import runs_pb2

_SLOWER_MAX = 1.5
_MEMORY_MAX_KB = 256.0
_JOIN_S = 180.0
_SLOW_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured."""

    watchers: int
    lines: int
    alone_s: float
    watched_s: float
    slower: float
    complete: int
    reading: int
    delivered_s: float
    memory_kb_per_watcher: float
    cpu_us_per_line: float
    slower_met: bool
    memory_met: bool


class Watcher:
    """Reads one run's lines on a stream of its own, or stops after the first message."""

    def __init__(self, user: User, run: str, *, is_slow: bool) -> None:
        """Ask for the lines; nothing is read yet."""
        self.is_slow = is_slow
        self.sequences: list[int] = []
        self._call = user.runs.TailLogs(
            runs_pb2.TailLogsRequest(run=run, follow=True), metadata=user.metadata, timeout=_JOIN_S
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        threading.stack_size(256 * 1024)
        self._thread.start()

    def _read(self) -> None:
        try:
            for answer in self._call:
                self.sequences.extend(line.sequence for line in answer.lines)
                if answer.done or self.is_slow:
                    return
        except grpc.RpcError:
            return

    def finish(self) -> None:
        """Wait for the end of a stream that is read; close one that is not."""
        if not self.is_slow:
            self._thread.join(_JOIN_S)
        self._call.cancel()


def _project(name: str, lines: int) -> dict[str, bytes]:
    command = f"until test -e go; do sleep 0.1; done; seq {lines}; echo {name} > out"
    return project_of(f"stages:\n  talk:\n    cmd: {command}\n    deps: [seed]\n    outs: [out]\n", seed=name)


def _let_go(home: Path) -> None:
    for workspace in (home / "workspaces").iterdir():
        (workspace / "go").touch()


def _until_running(user: User, run: str) -> None:
    while user.run(run).stages[0].state != runs_pb2.STATE_RUNNING:
        time.sleep(0.05)


def _timed(user: User, run: str, home: Path) -> float:
    """Seconds that the run takes from here on."""
    begun = time.perf_counter()
    _let_go(home)
    user.end_of(run)
    return time.perf_counter() - begun


def measure(*, watchers: int, connections: int, lines: int, home: Path) -> Figures:
    """Measure with the service whose state is in `home`."""
    pid, address, token = service_of(home)
    users = [User(address, token, f"user{number}") for number in range(connections)]
    users[0].connect()
    alone_s = []
    for name in ("warm", "alone"):
        run = users[0].submit("watched", _project(name, lines)).id
        _until_running(users[0], run)
        alone_s.append(_timed(users[0], run, home))

    run = users[0].submit("watched", _project("watched", lines)).id
    _until_running(users[0], run)
    before_mb = resident_mb(pid)
    watching = [
        Watcher(users[number % connections], run, is_slow=number % _SLOW_EVERY == 0)
        for number in range(watchers)
    ]
    time.sleep(2)
    used = cpu_s(pid)
    begun = time.perf_counter()
    watched_s = _timed(users[0], run, home)
    for one in watching:
        one.finish()
    delivered_s = time.perf_counter() - begun
    used = cpu_s(pid) - used
    after_mb = resident_mb(pid)
    reading = [one for one in watching if not one.is_slow]
    wanted = list(range(1, max(len(one.sequences) for one in reading) + 1))
    complete = sum(one.sequences == wanted for one in reading)
    for user in users:
        user.close()
    memory_kb = (after_mb - before_mb) * 1024 / watchers
    slower = watched_s / alone_s[-1]
    return Figures(
        watchers=watchers,
        lines=lines,
        alone_s=round(alone_s[-1], 2),
        watched_s=round(watched_s, 2),
        slower=round(slower, 2),
        complete=complete,
        reading=len(reading),
        delivered_s=round(delivered_s, 2),
        memory_kb_per_watcher=round(memory_kb, 1),
        cpu_us_per_line=round(used * 1e6 / (len(reading) * len(wanted)), 2),
        slower_met=slower < _SLOWER_MAX and complete == len(reading),
        memory_met=memory_kb < _MEMORY_MAX_KB,
    )


def _table(figures: Figures) -> str:
    met = {True: "met", False: "MISSED"}
    rows = [
        ("the stage, nobody watching", f"{figures.alone_s:.2f} s", "", ""),
        ("the stage, watched", f"{figures.watched_s:.2f} s", "", ""),
        (
            "slower by",
            f"{figures.slower:.2f} x",
            f"< {_SLOWER_MAX:.1f} x",
            met[figures.slower_met],
        ),
        ("until the last had all", f"{figures.delivered_s:.2f} s", "", ""),
        ("watchers with every line", f"{figures.complete}", f"= {figures.reading}", ""),
        (
            "memory of a watcher",
            f"{figures.memory_kb_per_watcher:.0f} KB",
            f"< {_MEMORY_MAX_KB:.0f} KB",
            met[figures.memory_met],
        ),
        ("processor, a line delivered", f"{figures.cpu_us_per_line:.1f} us", "", ""),
    ]
    head = (
        f"{figures.watchers} watchers of a stage that writes {figures.lines} lines, every tenth not reading"
    )
    return "\n".join(
        [head, *(f"  {name:30}{value:>9}  {bar:9} {verdict}".rstrip() for name, value, bar, verdict in rows)]
    )


def main() -> int:
    """Exit status: 0, or with --check 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--watchers", type=int, default=1000, help="streams open at once (default: 1000)")
    parser.add_argument("--connections", type=int, default=50, help="connections they share (default: 50)")
    parser.add_argument("--lines", type=int, default=1000, help="lines that are written (default: 1000)")
    parser.add_argument("--json", action="store_true", help="write one JSON document to stdout")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    with served() as (scratch, _):
        figures = measure(
            watchers=options.watchers,
            connections=options.connections,
            lines=options.lines,
            home=scratch / "home",
        )

    if options.json:
        print(json.dumps({"schema": "wherry.bench.watchers/1", **asdict(figures)}, indent=2))
    else:
        print(_table(figures))
    return int(options.check and not (figures.slower_met and figures.memory_met))


if __name__ == "__main__":
    sys.exit(main())
