"""Whole projects drawn at random: DVC and Wherry say the same of them, before and after they have run."""

import shutil
from pathlib import Path

import pytest

from tests.conformance.draw import draw
from tests.conformance.drawn_comparison import Differs, compare
from tests.conformance.dvc_process import dvc_process

# Without end by hand: `python -m tests.conformance.draw --examples 0`.
# What becomes of the projects of each seed, among other things.
_SEEDS = ((1, {"ran", "refused"}), (2, {"ran", "failed"}))
_PROJECTS_PER_SEED = 10


# Each by itself: all of them take long enough to reach the time limit on a busy machine.
@pytest.mark.parametrize(("number", "become"), _SEEDS)
def test_drawn_projects_mean_what_they_mean_to_dvc(tmp_path: Path, number: int, become: set[str]) -> None:
    drawn = draw(number, _PROJECTS_PER_SEED)
    results = []
    with dvc_process(tmp_path / "dvc") as process:
        for position, project in enumerate(drawn):
            folder = tmp_path / str(position)
            folder.mkdir()
            try:
                results.append(compare(project, folder.resolve(), process))
            except Differs as exc:
                kept = tmp_path / f"{position}.json"
                kept.write_text(project.to_json(), encoding="utf-8")
                text = f"{exc}\n\npython -m tests.conformance.draw --replay {kept}\n{project.to_json()}"
                raise AssertionError(text) from exc
            shutil.rmtree(folder)
    assert become <= set(results)
