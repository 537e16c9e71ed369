"""`${…}`, vars, foreach and matrix: what they become, where errors point, and which files are asked for."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.dvc.context import FilesNeeded
from wherry.service.domain.dvc.dvc_config import ParsingSettings, parse_parsing_settings
from wherry.service.domain.dvc.interpolation import (
    Accepts,
    Effort,
    Rules,
    TemplateError,
    TemplateTexts,
    expressions,
    resolve,
    to_text,
)
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath


def _parse(text: str, files: Mapping[str, str] | None = None, path: str = "dvc.yaml") -> tuple[Stage, ...]:
    contents = {name: content.encode() for name, content in (files or {}).items()}
    return parse_pipeline_file(text.encode(), ProjectPath(path), load=contents.get)


def _refusal(text: str, files: Mapping[str, str] | None = None) -> PipelineInvalid:
    with pytest.raises(PipelineInvalid) as caught:
        _parse(text, files)
    return caught.value


def _rules(**values: object) -> Rules:
    return Rules(
        select=lambda name, _: values[name], accepts=Accepts.COMMAND, effort=Effort(), texts=TemplateTexts()
    )


def test_generated_stages_are_addressed_by_group_and_key_and_stand_where_the_group_does() -> None:
    stages = _parse(
        "stages:\n  a: {cmd: x}\n  g:\n    foreach: [u, 1]\n    do: {cmd: 'x ${item}'}\n", path="d/dvc.yaml"
    )
    assert [(stage.name, stage.key, stage.cmd) for stage in stages] == [
        ("d/dvc.yaml:a", "a", "x"),
        ("d/dvc.yaml:g@u", "g@u", "x u"),
        ("d/dvc.yaml:g@1", "g@1", "x 1"),
    ]
    assert [str(stage.place) for stage in stages] == ["d/dvc.yaml:2:3", "d/dvc.yaml:3:3", "d/dvc.yaml:3:3"]


def test_a_matrix_goes_over_its_last_axis_fastest() -> None:
    stages = _parse("stages: {m: {matrix: {a: [1, 2], b: [x, {y: 3}]}, cmd: 'x ${item.a}'}}")
    assert [stage.key for stage in stages] == ["m@1-x", "m@1-b1", "m@2-x", "m@2-b1"]


def test_an_unknown_name_is_refused_at_its_line_with_the_one_that_was_meant() -> None:
    error = _refusal(
        "stages:\n  s:\n    cmd: x\n    deps:\n    - i\n    - data/${modle.path}\n",
        {"params.yaml": "model: {path: m, lr: 1}\n"},
    )
    assert str(error.place) == "dvc.yaml:6:7"
    assert error.message == "stage 's': deps.1: '${modle.path}': params.yaml has no 'modle'"
    assert error.hint == "Did you mean 'model'?"


def test_an_unknown_part_is_named_with_what_holds_it() -> None:
    error = _refusal("stages: {s: {cmd: 'x ${model.path}'}}", {"params.yaml": "model: {lr: 1, size: 2}\n"})
    assert "'model' has no 'path'" in error.message
    assert error.hint == "There are 'lr', 'size'."


def test_an_error_in_a_generated_stage_names_the_stage_and_points_into_do() -> None:
    error = _refusal("stages:\n  g:\n    foreach: [{a: 1}, {b: 2}]\n    do:\n      cmd: x ${item.a}\n")
    assert str(error.place) == "dvc.yaml:5:7"
    assert error.message.startswith("stage 'g@1': cmd: ")
    assert error.hint == "Did you mean 'item.b'?" or "'b'" in error.hint


def test_a_conflict_names_both_places() -> None:
    error = _refusal("vars:\n- v.yaml\n- d: {a: 1}\nstages: {}\n", {"v.yaml": "d: {a: 1}"})
    assert error.message == "dvc.yaml: vars.1: 'd.a' of vars[1] is set already, in v.yaml"
    assert str(error.place) == "dvc.yaml:3:3"


def test_a_date_is_refused_at_its_line_in_the_file_of_values() -> None:
    error = _refusal("stages: {s: {cmd: x}}", {"params.yaml": "a: 1\nb:\n  day: 2020-01-01\n"})
    assert str(error.place) == "params.yaml:3:3"
    assert error.message.startswith("b.day: ")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("    cmd: ${a}\n", 3),
        ("    cmd: x\n    outs:\n    - ${a}\n", 5),
        ("    cmd: x\n    outs:\n    - ${a}: {cache: false}\n", 5),
        ("    cmd: x\n    params:\n    - p.yaml: ['${a}']\n", 5),
    ],
)
def test_a_number_where_text_must_stand_is_refused_at_its_line(body: str, line: int) -> None:
    error = _refusal(f"stages:\n  s:\n{body}", {"params.yaml": "a: 1\n"})
    assert error.place is not None
    assert error.place.line == line


def test_files_are_asked_for_all_at_once() -> None:
    text = (
        "vars: [v.yaml, 'w.yaml:k']\n"
        "stages:\n  s: {foreach: [a, b], do: {cmd: x, wdir: '${item}', vars: [l.yaml]}}\n  t: {cmd: x, vars: [t.yaml]}\n"
    )
    contents: dict[str, bytes] = {}

    def load(path: ProjectPath) -> bytes | None:
        if path not in contents:
            raise FilesNeeded([path])
        return contents[path]

    rounds = []
    for _ in range(3):
        with pytest.raises(FilesNeeded) as caught:
            parse_pipeline_file(text.encode(), ProjectPath("dvc.yaml"), load=load)
        rounds.append(caught.value.paths)
        contents.update(dict.fromkeys(caught.value.paths, b"{}"))
        contents.update({path: b"k: 1" for path in caught.value.paths if path == "w.yaml"})
    assert rounds == [("params.yaml",), ("v.yaml", "w.yaml"), ("a/l.yaml", "b/l.yaml", "t.yaml")]
    assert len(parse_pipeline_file(text.encode(), ProjectPath("dvc.yaml"), load=load)) == 3


_FLAGS = {
    "t": True,
    "f": False,
    "s": "two words",
    "l": [1, "a b", True],
    "n": {"m": None, "e": {}},
    "none": [],
}


@pytest.mark.parametrize(
    ("parsing", "written"),
    [
        (ParsingSettings(), "--t --s 'two words' --l 1 'a b' True --n.m None"),
        (
            ParsingSettings(boolean_optional=True, append=True),
            "--t --no-f --s 'two words' --l 1 --l 'a b' --l True --n.m None",
        ),
    ],
)
def test_a_mapping_is_written_as_options(parsing: ParsingSettings, written: str) -> None:
    assert to_text(_FLAGS, parsing) == written


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", ParsingSettings()),
        ("[parsing]\nbool = boolean_optional\n", ParsingSettings(boolean_optional=True)),
        ("[ PARSING ]  # x\n  List = 'Append' # y\n", ParsingSettings(append=True)),
        ("['remote \"parsing\"']\nlist = append\nurl = /x\n", ParsingSettings()),
        ("# [parsing]\n[parsing]\n\n[core]\nlist = append\n", ParsingSettings()),
    ],
)
def test_parsing_settings_are_found_among_anything_else(text: str, settings: ParsingSettings) -> None:
    assert parse_parsing_settings(text.encode()) == settings


def test_a_matrix_too_large_to_run_is_refused_before_it_is_made() -> None:
    axes = ", ".join(f"a{number}: [0,1,2,3,4,5,6,7,8,9]" for number in range(9))
    assert "1000000000 stages" in _refusal(f"stages: {{m: {{matrix: {{{axes}}}, cmd: x}}}}").message


def test_values_that_grow_beyond_bounds_are_refused() -> None:
    rules = Rules(
        select=lambda _, __: "x" * 1_000_000, accepts=Accepts.SCALARS, effort=Effort(), texts=TemplateTexts()
    )
    with pytest.raises(TemplateError, match="too large"):
        resolve(["a ${x}"] * 100, rules)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@given(st.text(alphabet="${}\\\na."))
def test_expressions_are_found_where_dvc_finds_them(text: str) -> None:
    assert list(expressions(text)) == re.findall(r"(?<!\\)\${(.*?)}", text)


@pytest.mark.parametrize("text", ["${" * 1_000_000, "${\n" * 500_000 + "}", "${a[" * 200_000 + "}"])
def test_a_text_that_would_make_a_pattern_slow_is_gone_through_once(text: str) -> None:
    # The suite's time limit fails this where the time grows with the square of the length.
    assert len(list(expressions(text))) <= 1


@given(_VALUES.filter(lambda value: "${" not in repr(value)))
def test_without_an_expression_nothing_changes(value: object) -> None:
    assert resolve(value, _rules()) == value


@given(st.text(alphabet="${}\\a b\n"))
def test_an_escaped_text_comes_out_as_it_was(text: str) -> None:
    # A backslash before `${` cannot be written: DVC drops it.
    plain = text.replace("\\", "")
    assert resolve(plain.replace("${", "\\${"), _rules()) == plain


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()))
def test_a_text_that_is_one_expression_keeps_the_type(value: object) -> None:
    resolved = resolve("${a}", _rules(a=value))
    assert resolved == value
    assert type(resolved) is type(value)


@given(st.text(alphabet=st.characters(exclude_characters="\\")), st.text(alphabet="ab -}"))
def test_a_value_is_put_into_the_text_and_not_resolved_again(value: str, around: str) -> None:
    assert resolve(f"x{around}${{a}}{around}", _rules(a=value)) == f"x{around}{value}{around}"
