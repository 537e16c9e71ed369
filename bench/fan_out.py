"""How fast many small stages go, how fast a large run of known results is, and whether the service keeps its size.

    python -m bench.fan_out [--stages N] [--no-dvc] [--json] [--check]

Four figures. The rate of a fan-out of one-line stages against a bare thread pool of the same containers at the same
width, and against `dvc repro` of the same project, which runs the commands on the machine, without containers, one after
the other. The time of `wherry repro` of the same from start to exit once all is known. And the memory of the service before, after,
and after as many stages again: it must not grow with them.

As many stages run at once as the machine has processors. The service is one of its own and is stopped at the end.
"""

import argparse
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.service import served
from bench.stand import DVC, WHERRY, Shell, Stage, bare_config, bare_stage, make_project, wherry_container
from docker import APIClient
from docker.utils import kwargs_from_env

_RATE_MIN = 0.9
_CACHED_MAX_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured."""

    stages: int
    width: int
    bare_per_s: float
    wherry_per_s: float
    rate: float
    dvc_per_s: float | None
    """None: DVC was not asked."""
    dvc_noop_s: float | None
    cached_s: float
    service_mb_before: float
    service_mb_after: float
    service_mb_end: float
    rate_met: bool
    cached_met: bool


def _wide(stages: int, folder: str) -> list[Stage]:
    """Stages that all read one file; `folder` tells those of one project from those of another."""
    return [
        Stage(
            f"s{number:04d}",
            f"echo {number} > {folder}{number:04d}.txt",
            "out000.txt",
            f"{folder}{number:04d}.txt",
        )
        for number in range(stages)
    ]


def _bare_per_s(like: dict[str, object], folder: Path, stages: int, width: int) -> float:
    folder.mkdir()
    folder.chmod(0o777)
    clients = [APIClient(version="auto", **kwargs_from_env()) for _ in range(width)]

    def go(number: int) -> None:
        bare_stage(clients[number % width], bare_config(like, f"echo {number} > {number}.txt", folder))

    before = time.perf_counter()
    with ThreadPoolExecutor(width) as pool:
        list(pool.map(go, range(stages)))
    seconds = time.perf_counter() - before
    for client in clients:
        client.close()
    return stages / seconds


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def measure(*, stages: int, repeats: int, with_dvc: bool, scratch: Path, shell: Shell) -> Figures:
    """Measure everything in `scratch`, with the service that `shell` reaches."""
    width = os.cpu_count() or 1
    client = APIClient(version="auto", **kwargs_from_env())
    like = wherry_container(client, shell, scratch / "warm-up")
    client.close()
    pid = int(json.loads((scratch / "home" / "service.json").read_text())["pid"])

    # Half of the bare containers before and half after, so that a drift of the machine hits both sides.
    bare = [_bare_per_s(like, scratch / "bare-1", stages // 2, width)]
    project = scratch / "wide"
    make_project(project, _wide(stages, "w"), shell)
    before_mb = _resident_mb(pid)
    run = json.loads(shell.run(WHERRY, "repro", "--json", cwd=project))
    after_mb = _resident_mb(pid)
    bare.append(_bare_per_s(like, scratch / "bare-2", stages // 2, width))
    wherry_per_s = stages / run["wall_s"]
    bare_per_s = statistics.harmonic_mean(bare)

    cached_s = statistics.median(_seconds(shell, project, WHERRY) for _ in range(repeats))
    dvc_per_s, dvc_noop_s = _dvc(stages, scratch / "wide-dvc", shell) if with_dvc else (None, None)
    shell.run(WHERRY, "repro", "--force", cwd=project)
    return Figures(
        stages=stages,
        width=width,
        bare_per_s=round(bare_per_s, 2),
        wherry_per_s=round(wherry_per_s, 2),
        rate=round(wherry_per_s / bare_per_s, 3),
        dvc_per_s=dvc_per_s,
        dvc_noop_s=dvc_noop_s,
        cached_s=round(cached_s, 3),
        service_mb_before=round(before_mb, 1),
        service_mb_after=round(after_mb, 1),
        service_mb_end=round(_resident_mb(pid), 1),
        rate_met=wherry_per_s >= _RATE_MIN * bare_per_s,
        cached_met=cached_s < _CACHED_MAX_S,
    )


def _seconds(shell: Shell, folder: Path, program: Path) -> float:
    before = time.perf_counter()
    shell.run(program, "repro", cwd=folder)
    return time.perf_counter() - before


def _dvc(stages: int, project: Path, shell: Shell) -> tuple[float, float]:
    """Stages a second of `dvc repro`, and seconds once there is nothing to do."""
    make_project(project, _wide(stages, "w"), shell)
    return round(stages / _seconds(shell, project, DVC), 2), round(_seconds(shell, project, DVC), 3)


def _dvc_rows(figures: Figures) -> list[tuple[str, str, str, str]]:
    if figures.dvc_per_s is None or figures.dvc_noop_s is None:
        return []
    over = figures.wherry_per_s / figures.dvc_per_s
    return [
        ("dvc repro, no containers", f"{figures.dvc_per_s:.1f} /s", "", ""),
        ("Wherry's rate over DVC's", f"{over:.2f}", "", ""),
        ("dvc repro, nothing to do", f"{figures.dvc_noop_s:.2f} s", "", ""),
    ]


def _table(figures: Figures) -> str:
    met = {True: "met", False: "MISSED"}
    rows = [
        ("bare SDK", f"{figures.bare_per_s:.1f} /s", "", ""),
        ("Wherry", f"{figures.wherry_per_s:.1f} /s", "", ""),
        ("Wherry's rate over the bare", f"{figures.rate:.2f}", f">= {_RATE_MIN}", met[figures.rate_met]),
        *_dvc_rows(figures),
        (
            "the same, all known",
            f"{figures.cached_s:.2f} s",
            f"< {_CACHED_MAX_S:.1f} s",
            met[figures.cached_met],
        ),
        ("service, before", f"{figures.service_mb_before:.0f} MB", "", ""),
        ("service, after", f"{figures.service_mb_after:.0f} MB", "", ""),
        ("service, after all again", f"{figures.service_mb_end:.0f} MB", "", ""),
    ]
    head = f"{figures.stages} one-line stages side by side, {figures.width} at once"
    return "\n".join(
        [head, *(f"  {name:28}{value:>9}  {bar:9} {verdict}".rstrip() for name, value, bar, verdict in rows)]
    )


def main() -> int:
    """Exit status: 0, or with --check 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stages", type=int, default=200, help="width of the fan-out (default: 200)")
    parser.add_argument(
        "--repeats", type=int, default=5, help="cached runs to take the median of (default: 5)"
    )
    parser.add_argument("--no-dvc", action="store_true", help="do not ask DVC")
    parser.add_argument("--json", action="store_true", help="write one JSON document to stdout")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()

    with served() as (scratch, shell):
        figures = measure(
            stages=options.stages,
            repeats=options.repeats,
            with_dvc=not options.no_dvc,
            scratch=scratch,
            shell=shell,
        )

    if options.json:
        print(json.dumps({"schema": "wherry.bench.fan_out/1", **asdict(figures)}, indent=2))
    else:
        print(_table(figures))
    return int(options.check and not (figures.rate_met and figures.cached_met))


if __name__ == "__main__":
    sys.exit(main())
