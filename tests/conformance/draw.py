"""Draw whole projects by hand, for as long as one likes, and keep those on which DVC and Wherry differ.

python -m tests.conformance.draw --examples 0 --keep FOLDER     until interrupted
python -m tests.conformance.draw --seed 7 --examples 100        the projects of seeds 7, 8, …
python -m tests.conformance.draw --replay FOLDER/7-12.json      one that was kept, again
"""

import argparse
import itertools
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.conformance.drawn_comparison import Differs, compare
from tests.conformance.drawn_projects import DrawnProject, projects
from tests.conformance.dvc_process import dvc_process

PER_SEED = 20


def draw(number: int, count: int = PER_SEED) -> Sequence[DrawnProject]:
    """Draw the projects of a seed."""
    drawn: list[DrawnProject] = []

    @seed(number)
    @settings(
        max_examples=count + 1,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(projects())
    def collect(project: DrawnProject) -> None:
        drawn.append(project)

    collect()
    # The first is the simplest of all, the same for every seed.
    return drawn[1:]


def main() -> int:
    """Compare until enough were drawn; the exit code says whether any differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--examples", type=int, default=PER_SEED, help="how many projects; 0: no end")
    parser.add_argument("--keep", type=Path, default=Path("drawn-failures"), help="where failing projects go")
    parser.add_argument("--replay", type=Path, help="a kept project, instead of drawing")
    asked = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="drawn-"))
    try:
        if asked.replay is not None:
            return _replay(asked.replay, scratch)
        return _draw_all(asked.seed, asked.examples, asked.keep, scratch)
    finally:
        shutil.rmtree(scratch)


def _replay(file: Path, scratch: Path) -> int:
    project = DrawnProject.from_json(file.read_text(encoding="utf-8"))
    with dvc_process(scratch / "dvc") as process:
        try:
            print(compare(project, _folder(scratch), process))
        except Differs as exc:
            print(exc)
            return 1
    return 0


def _draw_all(first: int, examples: int, keep: Path, scratch: Path) -> int:
    numbers = itertools.count(first)
    results: Counter[str] = Counter()
    while not examples or results.total() < examples:
        number = next(numbers)
        # A process for each seed: DVC's own memory grows.
        with dvc_process(scratch / "dvc") as process:
            for position, project in enumerate(draw(number)):
                folder = _folder(scratch)
                try:
                    results[compare(project, folder, process)] += 1
                except Differs as exc:
                    results["DIFFERS"] += 1
                    keep.mkdir(parents=True, exist_ok=True)
                    kept = keep / f"{number}-{position}.json"
                    kept.write_text(project.to_json(), encoding="utf-8")
                    print(f"{kept}: {exc}\n", flush=True)
                shutil.rmtree(folder)
        print(f"seed {number}: {dict(results)}", file=sys.stderr, flush=True)
    return 1 if results["DIFFERS"] else 0


def _folder(scratch: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=scratch)).resolve()


if __name__ == "__main__":
    sys.exit(main())
