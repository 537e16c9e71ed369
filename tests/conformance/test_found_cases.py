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
