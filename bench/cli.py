"""How long the command line takes to answer, and how much memory: `wherry --help` and `wherry ps` beside `dvc --version`.

    python -m bench.cli [--repeats N]

A service of its own is started, so that `wherry ps` has somebody to ask. Each is timed as a program, from start to exit; of
several times the smallest counts, because all else on the machine only adds. CPU time does not depend on what else runs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.service import running

_REPOSITORY = Path(__file__).resolve().parents[1]
_WHERRY = Path(sys.executable).with_name("wherry")
_DVC = _REPOSITORY / ".venv-dvc" / "bin" / "dvc"

# What is promised: milliseconds, and MB for the first.
_HELP_MS, _HELP_MB, _PS_MS = 150, 60, 300


@dataclass(frozen=True, slots=True)
class Cost:
    """The least that a command took."""

    wall_ms: float
    cpu_ms: float
    rss_mb: float


def measure(command: list[str], *, cwd: Path, environment: dict[str, str], repeats: int) -> Cost:
    """Run it several times."""
    costs = [_once(command, cwd, environment) for _ in range(repeats)]
    return Cost(
        min(cost.wall_ms for cost in costs),
        min(cost.cpu_ms for cost in costs),
        max(cost.rss_mb for cost in costs),
    )


def _once(command: list[str], cwd: Path, environment: dict[str, str]) -> Cost:
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    wall_ms = (time.perf_counter() - begin) * 1000
    return Cost(wall_ms, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024)


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder:
        environment = {**os.environ, "WHERRY_HOME": f"{folder}/home", "DVC_NO_ANALYTICS": "1"}
        project = Path(folder) / "project"
        (project / ".dvc").mkdir(parents=True)
        commands = {
            "dvc --version": [str(_DVC), "--version"],
            "wherry --help": [str(_WHERRY), "--help"],
            "wherry repro --help": [str(_WHERRY), "repro", "--help"],
            "wherry ps": [str(_WHERRY), "-q", "ps"],
        }
        with running(environment, Path(folder)):
            costs = {
                name: measure(command, cwd=project, environment=environment, repeats=repeats)
                for name, command in commands.items()
            }
    dvc = costs["dvc --version"]
    for name, cost in costs.items():
        ratio = f"{dvc.wall_ms / cost.wall_ms:5.1f} times as fast as dvc --version" if cost is not dvc else ""
        print(
            f"{name:<20} {cost.wall_ms:6.0f} ms  {cost.cpu_ms:6.0f} ms CPU  {cost.rss_mb:5.0f} MB  {ratio}".rstrip()
        )
    shown = costs["wherry --help"]
    print(f"promised: --help in {_HELP_MS} ms and {_HELP_MB} MB, ps in {_PS_MS} ms")
    kept = shown.wall_ms < _HELP_MS and shown.rss_mb <= _HELP_MB and costs["wherry ps"].wall_ms < _PS_MS
    print("kept" if kept else "not kept (on this machine, now)")


if __name__ == "__main__":
    main()
