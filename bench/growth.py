"""Whether the service keeps its size: its memory after each thousand stages.

    python -m bench.growth [--rounds N] [--runs N] [--stages N] [--executed N] [--json] [--check]

Real submissions to a service of its own, over the wire: in each round --runs different pipelines of --stages known stages,
one of which --executed stages are new to the service and run in containers. Some are watched while they go on. The
service has its caches filled after the first rounds; what it has after those is compared with what it has at the end.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.service import served
from bench.wire import User, project_of, resident_mb, service_of

from wherry.v1 import runs_pb2

# Rounds in which caches fill: half of them, but three at most.
_WARM_MAX = 3
_GROWTH_MAX_MB = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured."""

    stages: int
    executed: int
    mb_after_round: list[float]
    grown_mb: float
    kb_per_stage: float
    met: bool


def _project(round_: int, number: int, stages: int, executed: int) -> dict[str, bytes]:
    """The same commands each time, under names of the run's own; in a round's first run some are new."""
    lines = ["stages:"]
    for stage in range(stages):
        is_new = number == 0 and stage < executed
        out = f"n{round_:03d}x{stage:04d}" if is_new else f"o{stage:04d}"
        lines += [
            f"  r{round_:03d}n{number:03d}s{stage:04d}:",
            f"    cmd: echo {out} > {out}",
            "    deps: [seed]",
            f"    outs: [{out}]",
        ]
    return project_of("\n".join(lines) + "\n", seed="seed\n", notes=f"{round_} {number}\n")


def _watch(user: User, run: str) -> None:
    """Read a run's events and lines to their end, as a client does."""
    for _ in user.runs.WatchRun(runs_pb2.WatchRunRequest(run=run), metadata=user.metadata):
        pass
    tail = runs_pb2.TailLogsRequest(run=run, follow=True)
    for _ in user.runs.TailLogs(tail, metadata=user.metadata):
        pass


def measure(*, rounds: int, runs: int, stages: int, executed: int, home: Path, tell: bool) -> Figures:
    """Measure with the service whose state is in `home`."""
    pid, address, token = service_of(home)
    user = User(address, token, "bench")
    user.connect()
    sizes: list[float] = []
    ran = 0
    for round_ in range(rounds):
        for number in range(runs):
            files = _project(round_, number, stages, executed)
            run = user.submit(f"p{number:03d}", files)
            _watch(user, run.id)
            ended = user.end_of(run.id)
            ran += sum(stage.cache == runs_pb2.CACHE_USE_MISS for stage in ended.stages)
        sizes.append(round(resident_mb(pid), 1))
        if tell:
            done = (round_ + 1) * runs * stages
            print(f"  {done:6} stages, {ran:4} of them run: {sizes[-1]:.0f} MB", flush=True)
    user.close()
    warm = min(_WARM_MAX, rounds // 2)
    grown = sizes[-1] - sizes[warm - 1 if warm else 0]
    counted = (rounds - warm) * runs * stages
    return Figures(
        stages=rounds * runs * stages,
        executed=ran,
        mb_after_round=sizes,
        grown_mb=round(grown, 1),
        kb_per_stage=round(grown * 1024 / counted, 3),
        met=grown < _GROWTH_MAX_MB,
    )


def main() -> int:
    """Exit status: 0, or with --check 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=10, help="sizes that are taken (default: 10)")
    parser.add_argument("--runs", type=int, default=20, help="runs in a round (default: 20)")
    parser.add_argument("--stages", type=int, default=50, help="stages of a run (default: 50)")
    parser.add_argument("--executed", type=int, default=2, help="new stages in a round (default: 2)")
    parser.add_argument("--json", action="store_true", help="write one JSON document to stdout")
    parser.add_argument("--check", action="store_true", help="exit 1 when the bar is missed")
    options = parser.parse_args()
    with served() as (scratch, _):
        if not options.json:
            print("the service's memory")
        figures = measure(
            rounds=options.rounds,
            runs=options.runs,
            stages=options.stages,
            executed=options.executed,
            home=scratch / "home",
            tell=not options.json,
        )

    if options.json:
        print(json.dumps({"schema": "wherry.bench.growth/1", **asdict(figures)}, indent=2))
    else:
        met = "met" if figures.met else "MISSED"
        print(f"  grown once warm by {figures.grown_mb:.1f} MB     < {_GROWTH_MAX_MB:.0f} MB  {met}")
    return int(options.check and not figures.met)


if __name__ == "__main__":
    sys.exit(main())
