"""A mistake is told with what would be right."""

import pytest

from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.lockfile import parse_lock
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath

_STAGE = "stages:\n  train:\n    cmd: x\n    "


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("stages:\n\ttrain: {cmd: x}\n", 2, "spaces, not with tabs"),
        ("stages:\n  train:\n    cmd: echo a: b\n", 3, "needs quotes"),
        ("stages:\n  train:\n    cmd: 'x\n", 4, "not closed"),
        ("stages:\n  train:\n    command: x\n", 3, "Did you mean 'cmd'?"),
        (_STAGE + "deps: a\n", 4, "[a]"),
        (_STAGE + "deps: [1]\n", 4, "in quotes"),
        (_STAGE + "outs:\n    - o:\n      cache: false\n", 5, "further to the right"),
        (_STAGE + "outs:\n    - o: {cache: no}\n", 5, "yes, no, on and off are text"),
        (_STAGE + "wdir:\n", 4, "Give it a value"),
        (_STAGE + "live: {logs: {}}\n", 4, "metrics and plots"),
        (_STAGE + "metrics_no_cache: [m]\n", 4, "{cache: false}"),
        ("stages:\n  s:\n    foreach: [a]\n    cmd: x\n", 4, "belongs under do"),
        ("stages:\n  s: {cmd: 'echo ${HOME}'}\n", 2, "$HOME"),
        ("stages:\n  s: {cmd: 'echo ${item}'}\n", 2, "foreach and matrix only"),
        ("stages:\n  s@x: {cmd: x}\n", 2, "without '@'"),
        ("stages:\n  s: {deps: [a]}\n", 2, "dvc add"),
        ("stages:\n  s: {cmd: x, outs: [o], metrics: [o]}\n", 2, "under one of"),
        ("stages:\n  s: {cmd: x, outs: [o], deps: [o]}\n", 2, "Take one of these dependencies out"),
    ],
)
def test_a_mistake_in_a_pipeline_names_its_line_and_the_way_out(text: str, line: int, hint: str) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        build_pipeline(
            parse_pipeline_file(
                text.encode(),
                ProjectPath("dvc.yaml"),
                load=lambda path: b"a: 1" if "params" in path else None,
            ),
            (),
        )
    assert caught.value.place is not None
    assert caught.value.place.line == line
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["", "a: {cmd: x}\n", "schema: 2.0\nstages: {}\n"])
def test_a_lock_that_cannot_be_kept_is_to_be_deleted(text: str) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        parse_lock(text.encode(), ProjectPath("dvc.lock"))
    assert "Delete it" in caught.value.hint


def test_a_stage_of_dvc_1_is_told_where_it_belongs() -> None:
    with pytest.raises(PipelineInvalid) as caught:
        parse_data_file(b"cmd: x\nouts: []\n", ProjectPath("x.dvc"))
    assert "belong into dvc.yaml" in caught.value.hint
