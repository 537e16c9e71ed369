"""Two users submit the same pipeline within ten milliseconds, again and again: each stage must be executed once.

    python -m bench.twice [--times N] [--stages N] [--json] [--check]

Real containers, over the wire, with an input that is new each time. What each stage makes is another thing every time it
is executed, so that runs whose outputs are the same have executed it once between them.
"""

import argparse
import json
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.service import served
from bench.wire import User, project_of, service_of

from wherry.v1 import runs_pb2

_APART_MAX_S = 0.010


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was counted."""

    times: int
    stages: int
    apart_max_ms: float
    """The longest time between the two submissions of a pair."""
    executed: list[int]
    differing: int
    """Pairs whose outputs are not the same."""
    merged: int
    hits: int
    seconds: float
    met: bool


def _pipeline(stages: int) -> dict[str, bytes]:
    """A tree: stage n reads what stage n / 2 made."""
    lines = ["stages:"]
    for number in range(stages):
        dep = f"o{number // 2:03d}" if number > 1 else "seed"
        lines += [
            f"  s{number:03d}:",
            f"    cmd: cat /proc/sys/kernel/random/uuid > o{number:03d}",
            f"    deps: [{dep}]",
            f"    outs: [o{number:03d}]",
        ]
    return project_of("\n".join(lines) + "\n", seed=uuid.uuid4().hex)


def _submit_both(users: list[User], files: dict[str, bytes]) -> tuple[list[runs_pb2.Run], float]:
    """The two runs at their ends, and the seconds between the beginnings of their submissions."""
    at_once = threading.Barrier(len(users))

    def submit(number: int) -> tuple[runs_pb2.Run, float]:
        at_once.wait()
        begun = time.perf_counter()
        return users[number].end_of(users[number].submit(f"clone{number}", files).id), begun

    with ThreadPoolExecutor(len(users)) as pool:
        ended = list(pool.map(submit, range(len(users))))
    beginnings = [begun for _, begun in ended]
    return [run for run, _ in ended], max(beginnings) - min(beginnings)


def measure(*, times: int, stages: int, home: Path) -> Figures:
    """Count with the service whose state is in `home`."""
    _, address, token = service_of(home)
    users = [User(address, token, name) for name in ("ana", "ben")]
    for user in users:
        user.connect()
    executed: list[int] = []
    apart: list[float] = []
    differing = merged = hits = 0
    begun = time.perf_counter()
    while len(executed) < times:
        runs, seconds = _submit_both(users, _pipeline(stages))
        if seconds > _APART_MAX_S:
            continue  # the machine was busy: that was no pair
        apart.append(seconds)
        used = [stage.cache for run in runs for stage in run.stages]
        executed.append(used.count(runs_pb2.CACHE_USE_MISS))
        merged += used.count(runs_pb2.CACHE_USE_MERGED)
        hits += used.count(runs_pb2.CACHE_USE_HIT)
        one, other = ([[out.hash for out in stage.outs] for stage in run.stages] for run in runs)
        differing += one != other
    for user in users:
        user.close()
    return Figures(
        times=times,
        stages=stages,
        apart_max_ms=round(max(apart) * 1000, 2),
        executed=executed,
        differing=differing,
        merged=merged,
        hits=hits,
        seconds=round(time.perf_counter() - begun, 1),
        met=set(executed) == {stages} and differing == 0,
    )


def _table(figures: Figures) -> str:
    right = sum(count == figures.stages for count in figures.executed)
    met = "met" if figures.met else "MISSED"
    within = f"within {figures.apart_max_ms:.1f} ms, {figures.times} times, {figures.seconds:.0f} s"
    return "\n".join(
        [
            f"two users submit the same {figures.stages} stages {within}",
            f"  executed exactly {figures.stages:<12}{right:>7}   = {figures.times:<6} {met}",
            f"  pairs with other outputs    {figures.differing:>7}   = 0",
            f"  attached while it ran       {figures.merged:>7}",
            f"  known by then               {figures.hits:>7}",
        ]
    )


def main() -> int:
    """Exit status: 0, or with --check 1 when a stage was not executed exactly once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=5, help="pairs of submissions (default: 5)")
    parser.add_argument("--stages", type=int, default=20, help="stages of the pipeline (default: 20)")
    parser.add_argument("--json", action="store_true", help="write one JSON document to stdout")
    parser.add_argument("--check", action="store_true", help="exit 1 when a stage is not executed once")
    options = parser.parse_args()
    with served() as (scratch, _):
        figures = measure(times=options.times, stages=options.stages, home=scratch / "home")

    if options.json:
        print(json.dumps({"schema": "wherry.bench.twice/1", **asdict(figures)}, indent=2))
    else:
        print(_table(figures))
    return int(options.check and not figures.met)


if __name__ == "__main__":
    sys.exit(main())
