"""A mistake is told with what would be right."""

import pytest

from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.hydra_settings import parse_hydra_settings
from wherry.service.domain.dvc.lockfile import parse_lock
from wherry.service.domain.dvc.params import parse_params_file
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.set_param import apply_overrides
from wherry.service.domain.errors import InvalidInput, PipelineInvalid
from wherry.service.domain.paths import ProjectPath

_STAGE = "stages:\n  train:\n    cmd: x\n    "


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("stages:\n\ttrain: {cmd: x}\n", 2, "spaces, not with tabs"),
        (_STAGE + "deps: [a]\n\tx: 1\n", 5, "spaces, not with tabs"),
        (_STAGE + "cmd: y\n", 4, "put the two together"),
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
        ("stages:\n  s: {cmd: x, deps: *inputs}\n", 2, "&inputs stands before a value"),
        ("stages:\n  s: {cmd: x, deps: &inputs [a]}\n  t: {cmd: x, deps: *input}\n", 3, "mean *inputs?"),
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


@pytest.mark.parametrize(
    "entry",
    [
        "deps: []",
        "cmd: x\n    deps: a",
        "cmd: x\n    deps: [{md5: 0}]",
        "cmd: x\n    outs: [{path: a, size: x}]",
        "cmd: x\n    outs: [{path: a, md5: x}]",
        "cmd: x\n    params: {p: [a]}",
        "cmd: x\n    metrics: []",
    ],
)
def test_an_entry_of_a_lock_that_cannot_be_read_is_to_be_written_anew(entry: str) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        parse_lock(f"schema: '2.0'\nstages:\n  train:\n    {entry}\n".encode(), ProjectPath("dvc.lock"))
    assert "'train'" in caught.value.message
    assert "take the entry 'train' out" in caught.value.hint
    assert caught.value.place is not None
    assert caught.value.place.line in {3, 4, 5}


def test_a_stage_of_dvc_1_is_told_where_it_belongs() -> None:
    with pytest.raises(PipelineInvalid) as caught:
        parse_data_file(b"cmd: x\nouts: []\n", ProjectPath("x.dvc"))
    assert "belong into dvc.yaml" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "data", "override", "message", "hint"),
    [
        ("p.yaml", b"lr: 1\n", "lr.x=1", "single value", "as a whole"),
        ("p.toml", b"lr = 1\n", "lr.x=1", "single value", "as a whole"),
        ("p.py", b"lr = 1\n", "lrr=1", "has no 'lrr'", "Did you mean 'lr'?"),
        ("p.json", b'{"a": 1}', "~zz", "has no 'zz'", "There are 'a'."),
    ],
)
def test_a_parameter_that_cannot_be_set_is_told_with_what_is_there(
    path: str, data: bytes, override: str, message: str, hint: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        apply_overrides(data, path, [override])
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("data", "line", "column"), [(b"a = 1\nb = \n", 2, 5), (b"a = 1\na = 2\n", 2, 6), (b"x = [\n", 2, 0)]
)
def test_a_mistake_in_toml_names_its_line(data: bytes, line: int, column: int) -> None:
    with pytest.raises(PipelineInvalid, match="not valid TOML") as caught:
        parse_params_file(data, "p.toml")
    assert caught.value.place is not None
    assert (caught.value.place.line, caught.value.place.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("enable = true", "hydra has no 'enable'", "enabled"),
        ("enabled = true\nconfig_dir = ../x", "hydra.config_dir", "relative to the DVC root"),
    ],
)
def test_a_mistake_in_the_settings_of_hydra_names_its_line(text: str, message: str, hint: str) -> None:
    with pytest.raises(PipelineInvalid, match=message) as caught:
        parse_hydra_settings(f"[hydra]\n{text}\n".encode())
    assert caught.value.place is not None
    assert caught.value.place.line == 1 + len(text.splitlines())
    assert hint in caught.value.hint
