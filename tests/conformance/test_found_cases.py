"""Small projects that show what drawn and real projects have brought to light, each against DVC in full."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conformance.drawn_comparison import compare
from tests.conformance.drawn_projects import DrawnProject, FileChange
from tests.conformance.dvc_process import DvcProcess, dvc_process


def _project(
    files: Mapping[str, str], *changes: FileChange, added: tuple[str, ...] = (), targets: tuple[str, ...] = ()
) -> DrawnProject:
    return DrawnProject(files=files, added=added, changes=changes, targets=targets)


_COPY = "stages:\n  s: {cmd: cp i o, deps: [i], outs: [o]}\n"

CASES: Mapping[str, tuple[DrawnProject, str]] = {
    "tracked file that is ignored": (
        _project({"d.log": "1\n", "i": "1\n", "dvc.yaml": _COPY, ".dvcignore": "*.log\n"}, added=("d.log",)),
        "refused",
    ),
    "tracked folder that is ignored": (
        _project({"d/f": "1\n", "i": "1\n", "dvc.yaml": _COPY, ".dvcignore": "d/\n"}, added=("d",)),
        "refused",
    ),
    "DVC files inside an output declared above": (
        _project(
            {
                "d/dvc.yaml": "stages:\n  hidden: {cmd: x, outs: [o]}\n",
                "d/f": "1\n",
                "dvc.yaml": "stages:\n  s: {cmd: mkdir d && echo 2 > d/f, outs: [d]}\n",
            },
            added=("d/f",),
        ),
        "ran",
    ),
    "DVC files inside an output of hidden ones": (
        _project(
            {
                "d/dvc.yaml": "stages:\n  hidden: {cmd: x, outs: [../e/o]}\n",
                "e/o/dvc.yaml": "stages:\n  seen: {cmd: echo 1 > made, outs: [made]}\n",
                "dvc.yaml": "stages:\n  s: {cmd: mkdir d && echo 2 > d/f, outs: [d]}\n",
            },
        ),
        "ran",
    ),
    "stage inside its own output": (
        _project({"d/dvc.yaml": "stages:\n  s: {cmd: x, outs: [../d]}\n"}),
        "refused",
    ),
    "a project of its own below": (
        _project(
            {
                "sub/.dvc/config": "",
                "sub/dvc.yaml": "stages:\n  other: {cmd: x, outs: [o]}\n",
                "sub/data": "1\n",
                "d/inner/.dvc/config": "",
                "d/inner/f": "1\n",
                "d/f": "2\n",
                "dvc.yaml": "stages:\n  s: {cmd: cp d/f o, deps: [d, sub], outs: [o]}\n",
            },
            FileChange("write", "d/inner/f", "unseen\n"),
        ),
        "ran",
    ),
    "a parameter called size": (
        _project(
            {
                "params.yaml": "size: 1\n",
                "dvc.yaml": "stages:\n  s: {cmd: echo 1 > o, params: [size], outs: [o]}\n",
            },
            FileChange("write", "params.yaml", "size: 2\n"),
        ),
        "ran",
    ),
    "output that is ignored": (
        _project({"i": "1\n", "dvc.yaml": _COPY, ".dvcignore": "/o\n"}),
        "refused",
    ),
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DvcProcess]:
    with dvc_process(tmp_path_factory.mktemp("dvc")) as started:
        yield started


@pytest.mark.parametrize("case", CASES)
def test_what_was_found_stays_as_dvc_has_it(case: str, process: DvcProcess, tmp_path: Path) -> None:
    project, how_far = CASES[case]
    assert compare(project, tmp_path.resolve(), process) == how_far
