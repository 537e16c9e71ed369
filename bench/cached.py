"""How long a run takes of which every result is known, from the client's start to its exit, beside DVC's with nothing to do.

    python -m bench.cached [--stages N] [--chain N] [--repeats N] [--json] [--check]

Two projects: a chain, and a `foreach` of as many stages as --stages, each with a dependency, two parameters and an output.
Every stage runs once, which takes minutes and is shown on stderr; then `wherry repro` is timed, and `dvc repro` in the same folder once its outputs are there.
The service is one of its own and is stopped at the end.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.service import served
from bench.stand import DVC, WHERRY, Shell, Stage, make_project

_CHAIN_FASTER_MIN = 2.0
_MANY_FASTER_MIN = 4.0
_MANY_MAX_S = 1.0

_FOREACH = """\
stages:
  s:
    foreach:
{items}
    do:
      cmd: echo ${{item}} > many/${{item}}.txt
      deps: [out000.txt]
      params: [rate, model.depth]
      outs:
        - many/${{item}}.txt
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one project."""

    project: str
    stages: int
    wherry_s: float
    dvc_s: float
    faster: float
    bar: str
    met: bool


def _chain(folder: Path, stages: int, shell: Shell) -> None:
    make_project(
        folder,
        [
            Stage(
                f"s{number:04d}",
                f"cat out{number - 1:03d}.txt > out{number:03d}.txt",
                f"out{number - 1:03d}.txt",
                f"out{number:03d}.txt",
            )
            for number in range(1, stages + 1)
        ],
        shell,
    )


def _many(folder: Path, stages: int, shell: Shell) -> None:
    make_project(folder, [], shell)
    items = "\n".join(f"      - {number}" for number in range(stages))
    (folder / "dvc.yaml").write_text(_FOREACH.format(items=items))
    (folder / "params.yaml").write_text("rate: 0.1\nmodel:\n  depth: 3\n")
    (folder / "many").mkdir()
    (folder / "many" / ".gitignore").write_text("*.txt\n")


def _seconds(shell: Shell, program: Path, folder: Path) -> float:
    before = time.perf_counter()
    shell.run(program, "repro", cwd=folder)
    return time.perf_counter() - before


def _known_s(shell: Shell, folder: Path, repeats: int) -> float:
    """Seconds of a run of known results; the first one is not counted, and says that they are known."""
    shell.watch(WHERRY, "repro", cwd=folder)
    run = json.loads(shell.run(WHERRY, "repro", "--json", cwd=folder))
    caches = {stage["cache"] for stage in run["stages"]}
    if caches != {"hit"}:
        raise SystemExit(f"all results were to be known, and the cache said {caches}")
    return statistics.median(_seconds(shell, WHERRY, folder) for _ in range(repeats))


def _nothing_to_do_s(shell: Shell, folder: Path) -> float:
    """Seconds of `dvc repro` when all is there; before that DVC has seen the files once."""
    shell.run(WHERRY, "pull", cwd=folder)
    said = shell.run(DVC, "repro", cwd=folder)
    if "Running stage" in said:
        raise SystemExit("DVC was to have nothing to do, and ran a stage")
    return _seconds(shell, DVC, folder)


def measure(*, stages: int, chain: int, repeats: int, scratch: Path, shell: Shell) -> list[Figures]:
    """Measure both projects in `scratch`, with the service that `shell` reaches."""
    found = []
    for name, make, count in (("chain", _chain, chain), ("foreach", _many, stages)):
        folder = scratch / name
        print(f"{name} of {count:,}: every stage runs once, then nothing does", file=sys.stderr)
        make(folder, count, shell)
        wherry_s = _known_s(shell, folder, repeats)
        dvc_s = _nothing_to_do_s(shell, folder)
        faster = dvc_s / wherry_s
        if make is _chain:
            bar, met = f">= {_CHAIN_FASTER_MIN:.0f} x", faster >= _CHAIN_FASTER_MIN
        else:
            bar = f"< {_MANY_MAX_S:.0f} s and >= {_MANY_FASTER_MIN:.0f} x"
            met = wherry_s < _MANY_MAX_S and faster >= _MANY_FASTER_MIN
        found.append(
            Figures(
                project=name,
                stages=count,
                wherry_s=round(wherry_s, 3),
                dvc_s=round(dvc_s, 3),
                faster=round(faster, 2),
                bar=bar,
                met=met,
            )
        )
    return found


def _table(figures: list[Figures]) -> str:
    lines = ["runs of known results, from start to exit", f"  {'':22}{'wherry':>9}{'dvc':>9}{'ratio':>9}"]
    for row in figures:
        name = f"{row.project} of {row.stages:,}"
        verdict = "met" if row.met else "MISSED"
        lines.append(
            f"  {name:22}{row.wherry_s:>7.2f} s{row.dvc_s:>7.2f} s{row.faster:>7.1f} x  {row.bar:18} {verdict}"
        )
    return "\n".join(lines)


def main() -> int:
    """Exit status: 0, or with --check 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stages", type=int, default=1000, help="stages of the foreach (default: 1000)")
    parser.add_argument("--chain", type=int, default=20, help="length of the chain (default: 20)")
    parser.add_argument(
        "--repeats", type=int, default=5, help="runs of known results to take the median of (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="write one JSON document to stdout")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()

    with served() as (scratch, shell):
        figures = measure(
            stages=options.stages, chain=options.chain, repeats=options.repeats, scratch=scratch, shell=shell
        )

    if options.json:
        document = {"schema": "wherry.bench.cached/1", "projects": [asdict(row) for row in figures]}
        print(json.dumps(document, indent=2))
    else:
        print(_table(figures))
    return int(options.check and not all(row.met for row in figures))


if __name__ == "__main__":
    sys.exit(main())
