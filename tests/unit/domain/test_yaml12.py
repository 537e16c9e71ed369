"""YAML is read as ruamel's safe loader reads it, with places, and without harm."""

import datetime as dt
import math
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wherry.service.domain.dvc.emit import dump_yaml
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import PipelineInvalid

# Characters of which numbers, dates, keywords and their near misses are made.
_SCALARS = st.one_of(
    st.text("0123456789+-._eExXobBfaFinIN:TZ ~tru", max_size=12),
    st.from_regex(r"[-+]?(0[box]?)?[0-9_a-f]{1,6}([.][0-9_]*)?([eE][-+]?[0-9]+)?", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{2}:[0-9]{2}([.][0-9]{0,3})?)?", fullmatch=True
    ),
    st.sampled_from(
        ["yes", "no", "on", "off", "y", "True", "TRUE", "tRUE", "null", "NULL", "~", "=", ".inf", ".NaN"]
    ),
)


def _ruamel(text: str) -> Any:
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError, IndexError):
        return PipelineInvalid


def _ours(text: str) -> Any:
    try:
        return parse_yaml(text.encode(), "f.yaml").value
    except PipelineInvalid:
        return PipelineInvalid


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and repr(left) == repr(right)


@settings(deadline=None)
@given(_SCALARS)
@example("1_000")
@example("0o17")
@example("010")
@example("1e3")
@example("12:30")
@example("-_")
@example("2020-01-01")
@example("2024-02-30")
@example(".5e3")
def test_scalars_are_typed_as_ruamel_types_them(text: str) -> None:
    document = f"- {text}\n"
    expected = _ruamel(document)
    assume(not (isinstance(expected, list) and isinstance(expected[0], dict | list)))
    assert _same(_ours(document), expected)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(_VALUES)
def test_what_dvc_writes_reads_as_ruamel_reads_it(value: Any) -> None:
    written = dump_yaml({"k": value})
    assert parse_yaml(written, "f.yaml").value == _ruamel(written.decode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: &x {l: [1]}\nb: {<<: *x, c: 2}\n", {"a": {"l": [1]}, "b": {"l": [1], "c": 2}}),
        (
            "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], z: 9}\n",
            {"a": {"x": 1, "y": 2}, "b": {"y": 3, "z": 4}, "c": {"y": 2, "z": 9, "x": 1}},
        ),
        ("a: !!str 1\nb: !!int '2'\n", {"a": "1", "b": 2}),
        ("a: >-\n  x\n  y\nb: |\n  z\n", {"a": "x y", "b": "z\n"}),
        ("=: 1\n", {"=": 1}),
        ("a: 2020-01-01T10:00:00+02:00\n", {"a": dt.datetime.fromisoformat("2020-01-01T08:00:00")}),
    ],
)
def test_documents_have_the_value_that_yaml_gives_them(text: str, value: Any) -> None:
    read = parse_yaml(text.encode(), "f.yaml").value
    assert read == value
    assert not isinstance(read, dict) or list(read) == list(value)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1),
        ("1: a\ntrue: b\n", 2, 1),
        ("a:\n  - [1\nb: 2\n", 3, 2),
        ("a: *x\n", 1, 4),
        ("a: &x [*x]\n", 1, 8),
        ("a: 1\n---\nb: 2\n", 2, 1),
        ("%YAML 1.1\n---\na: yes\n", 1, 1),
        ("a: !python/object:os.system x\n", 1, 4),
        ("? [a, b]\n: 1\n", 1, 3),
        ("<<: 1\n", 1, 5),
        ("a: <<\n", 1, 4),
    ],
)
def test_errors_have_their_line_and_column(text: str, line: int, column: int) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        parse_yaml(text.encode(), "f.yaml")
    assert str(caught.value.place) == f"f.yaml:{line}:{column}"


def test_text_that_is_not_utf_8_is_refused_with_its_line() -> None:
    with pytest.raises(PipelineInvalid, match="UTF-8") as caught:
        parse_yaml(b"a: 1\nb: \xff\n", "f.yaml")
    assert str(caught.value.place) == "f.yaml:2"


def test_an_alias_bomb_is_refused_before_it_expands() -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    with pytest.raises(PipelineInvalid, match="aliases"):
        parse_yaml("\n".join(lines).encode(), "f.yaml")


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "- " * 200_000 + "a", "? " * 100_000 + "a", "{a: " * 100_000]
)
def test_deep_nesting_is_refused_and_not_a_crash(text: str) -> None:
    with pytest.raises(PipelineInvalid):
        parse_yaml(text.encode(), "f.yaml")


def test_places_are_those_of_keys_and_items() -> None:
    document = parse_yaml(b"stages:\n  train:\n    deps:\n    - a\n    - b: {c: 1}\n", "dvc.yaml")
    assert str(document.place("stages", "train")) == "dvc.yaml:2:3"
    assert str(document.place("stages", "train", "deps", 1)) == "dvc.yaml:5:7"
    assert str(document.place("stages", "train", "deps", 1, "b", "c")) == "dvc.yaml:5:11"


def test_the_place_of_what_is_absent_is_that_of_its_nearest_ancestor() -> None:
    document = parse_yaml(b"stages:\n  train:\n    cmd: x\n", "dvc.yaml")
    assert document.place("stages", "train", "deps", 3) == document.place("stages", "train")
    assert str(parse_yaml(b"", "dvc.yaml").place("stages")) == "dvc.yaml:1:1"


def test_places_inside_an_alias_are_those_of_the_anchor() -> None:
    document = parse_yaml(b"a: &x\n  k: 1\nb: *x\nc:\n  <<: *x\n", "f.yaml")
    assert str(document.place("b")) == "f.yaml:3:1"
    assert str(document.place("b", "k")) == "f.yaml:2:3"
    assert str(document.place("c", "k")) == "f.yaml:2:3"


def test_an_alias_is_the_same_object_so_that_it_is_written_as_one() -> None:
    value = parse_yaml(b"a: &x [1]\nb: *x\nc: {<<: {d: *x}}\n", "f.yaml").value
    assert value["a"] is value["b"] is value["c"]["d"]
