"""What Wherry costs on a chain of one-line stages, as ratios measured side by side in one run.

Two figures. The overhead per stage: a run through Wherry against the same containers made with the bare Docker SDK
(create, start, wait, remove). And a fully cached run: the wall time of `wherry repro` against that of a `dvc repro`
that has nothing to do, both as processes. "The same container" is meant literally: one of Wherry's is looked at while it
runs, and the bare ones get its configuration, with folders of ours in place of its workspace.

The service is one of its own, with its state in a temporary folder, and is stopped at the end. Not here: load by
many users, large files, anything over a network.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.service import served
from bench.stand import DVC, WHERRY, Shell, Stage, bare_config, bare_stage, make_project, wherry_container
from docker import APIClient
from docker.utils import kwargs_from_env

_OVERHEAD_MAX_MS = 100.0
_FASTER_MIN = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured: milliseconds per stage, seconds per process, medians unless the name says mean."""

    stages: int
    bare_mean_ms: float
    wherry_mean_ms: float
    overhead_ms: float
    wherry_cached_s: float
    dvc_noop_s: float
    faster: float
    overhead_met: bool
    faster_met: bool


def _command(number: int) -> str:
    return f"cat out{number - 1:03d}.txt > out{number:03d}.txt; echo x >> out{number:03d}.txt"


def _chain(stages: int) -> list[Stage]:
    """Stage n reads the output of stage n - 1, the first a file in git."""
    return [
        Stage(f"s{number:03d}", _command(number), f"out{number - 1:03d}.txt", f"out{number:03d}.txt")
        for number in range(1, stages + 1)
    ]


def _seconds(action: Callable[[], object]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def _bare_chain(client: APIClient, like: dict[str, Any], folder: Path, stages: int) -> list[float]:
    """Seconds of each of the chain's containers, one after the other in one workspace."""
    folder.mkdir()
    (folder / "out000.txt").write_text("seed\n")
    # The container's user is not ours, and the file is its dependency.
    folder.chmod(0o777)
    return [
        bare_stage(client, bare_config(like, _command(number), folder)) for number in range(1, stages + 1)
    ]


def measure(*, stages: int, repeats: int, scratch: Path, shell: Shell) -> Figures:
    """Measure everything in `scratch`, with the service that `shell` reaches."""
    client = APIClient(version="auto", **kwargs_from_env())
    like = wherry_container(client, shell, scratch / "warm-up")

    # Half of the bare containers before and half after, so that a drift of the machine hits both sides.
    bare = _bare_chain(client, like, scratch / "bare-1", stages - stages // 2)
    project = scratch / "chain"
    make_project(project, _chain(stages), shell)
    run = json.loads(shell.run(WHERRY, "repro", "--json", cwd=project))
    bare += _bare_chain(client, like, scratch / "bare-2", stages // 2)
    client.close()
    caches = {stage["cache"] for stage in run["stages"]}
    if caches != {"miss"}:
        raise SystemExit(f"the chain was to run, and the cache said {caches}")

    dvc_project = scratch / "chain-dvc"
    make_project(dvc_project, _chain(stages), shell)
    shell.run(DVC, "repro", "-q", cwd=dvc_project)
    cached, noop = [], []
    for _ in range(repeats):
        cached.append(_seconds(lambda: shell.run(WHERRY, "repro", cwd=project)))
        noop.append(_seconds(lambda: shell.run(DVC, "repro", cwd=dvc_project)))

    bare_ms = statistics.mean(bare) * 1000
    wherry_ms = run["wall_s"] / stages * 1000
    faster = statistics.median(noop) / statistics.median(cached)
    return Figures(
        stages=stages,
        bare_mean_ms=round(bare_ms, 1),
        wherry_mean_ms=round(wherry_ms, 1),
        overhead_ms=round(wherry_ms - bare_ms, 1),
        wherry_cached_s=round(statistics.median(cached), 3),
        dvc_noop_s=round(statistics.median(noop), 3),
        faster=round(faster, 2),
        overhead_met=wherry_ms - bare_ms < _OVERHEAD_MAX_MS,
        faster_met=faster >= _FASTER_MIN,
    )


def _table(figures: Figures) -> str:
    met = {True: "met", False: "MISSED"}
    rows = [
        ("a stage, bare SDK", f"{figures.bare_mean_ms:.0f} ms", "", ""),
        ("a stage, Wherry", f"{figures.wherry_mean_ms:.0f} ms", "", ""),
        (
            "overhead per stage",
            f"{figures.overhead_ms:.0f} ms",
            f"< {_OVERHEAD_MAX_MS:.0f} ms",
            met[figures.overhead_met],
        ),
        ("dvc repro, nothing to do", f"{figures.dvc_noop_s:.2f} s", "", ""),
        ("wherry repro, all cached", f"{figures.wherry_cached_s:.2f} s", "", ""),
        (
            "DVC's time over Wherry's",
            f"{figures.faster:.1f} x",
            f">= {_FASTER_MIN:.1f} x",
            met[figures.faster_met],
        ),
    ]
    head = f"a chain of {figures.stages} one-line stages"
    return "\n".join(
        [head, *(f"  {name:26}{value:>9}  {bar:9} {verdict}".rstrip() for name, value, bar, verdict in rows)]
    )


def main() -> int:
    """Exit status: 0, or with --check 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stages", type=int, default=20, help="length of the chain (default: 20)")
    parser.add_argument(
        "--repeats", type=int, default=5, help="cached runs to take the median of (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="write one JSON document to stdout")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()

    with served() as (scratch, shell):
        figures = measure(stages=options.stages, repeats=options.repeats, scratch=scratch, shell=shell)

    if options.json:
        print(json.dumps({"schema": "wherry.bench.chain/1", **asdict(figures)}, indent=2))
    else:
        print(_table(figures))
    return int(options.check and not (figures.overhead_met and figures.faster_met))


if __name__ == "__main__":
    sys.exit(main())
