"""A target stands for the stages that DVC would look at, in an order that it would take."""

import re
from pathlib import Path

import pytest

from tests.conformance.harness import Case, dvc, make_project, read_pipeline
from wherry.service.domain.dvc.targets import select_stages
from wherry.service.domain.paths import ProjectPath

_STAGES = """\
stages:
  d: {cmd: cp c d, deps: [c], outs: [d]}
  b: {cmd: cp data/x b, deps: [data/x, data/y], outs: [b]}
  c: {cmd: cp b c, deps: [b, sub/s], outs: [c]%s}
  other: {cmd: cp data/y other, deps: [data/y], outs: [other]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("targets") / "project"
    case = Case(
        name="targets",
        files={
            "data/x": "1\n",
            "data/y": "2\n",
            "dvc.yaml": _STAGES % "",
            "sub/dvc.yaml": "stages:\n  s: {cmd: cp ../b s, deps: [../b], outs: [s]}\n  t: {cmd: cp s t, deps: [s], outs: [t]}\n",
        },
        added=("data/x", "data/y"),
    )
    make_project(folder, case)
    dvc(folder, "repro", "-P")
    return folder


def _looked_at(folder: Path, *targets: str) -> list[str]:
    output = dvc(folder, "repro", *targets)
    return re.findall(r"^(?:Stage )?'(.*)' didn't change, skipping$", output, re.MULTILINE)


@pytest.mark.parametrize(
    "targets",
    [
        ["d"],
        ["b", "other"],
        ["sub/dvc.yaml"],
        ["sub/dvc.yaml:t", "data/y.dvc"],
        [":c"],
        ["dvc.yaml:other"],
        [],
    ],
    ids=lambda targets: " ".join(targets) or "none",
)
def test_targets_stand_for_what_dvc_looks_at(project: Path, targets: list[str]) -> None:
    chosen = select_stages(read_pipeline(project), targets, ProjectPath("."))
    assert sorted(_looked_at(project, *targets)) == sorted(chosen)


def test_nothing_upstream_of_a_frozen_stage_is_looked_at(project: Path) -> None:
    (project / "dvc.yaml").write_text(_STAGES % ", frozen: true", encoding="utf-8")
    try:
        chosen = select_stages(read_pipeline(project), ["d"], ProjectPath("."))
        assert list(chosen) == _looked_at(project, "d") == ["c", "d"]
    finally:
        (project / "dvc.yaml").write_text(_STAGES % "", encoding="utf-8")
