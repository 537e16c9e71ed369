"""What is read line by line is what the full parser reads, places included; anything else is left to it."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wherry.service.domain.dvc.emit import dump_yaml
from wherry.service.domain.dvc.simple_yaml import read_simple
from wherry.service.domain.dvc.yaml12 import build_document
from wherry.service.domain.errors import PipelineInvalid

# Pieces of lines, among them all that has a meaning of its own somewhere.
_PIECES = st.sampled_from(
    [
        *r"""a |b: |c:|- |-| |  |    |1|0x1F|1e3|010|true|~|null|2020-01-01|2024-02-30| # c|#|'q'|'it''s'|"d"|"\n"|"open
'open|close'|[x, 1]|{k: 1, l: b}|[|]|{|}|&x|*x|!!str |>-|<<: |=|? |%|@|`|a:b|http://x|--flag|$HOME|x,y|(z)|\|.5|.inf
---|...|,|"d" # e""".replace("\n", "|").split("|"),
        "",
        "|",
        "é",
        "\t",
        "\u2028",
        "\ufeff",
    ]
)
_LINES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "", "  ", "  ", "    ", " ", "   ", "- ", "  - ", "- - "]),
    st.sampled_from(["", "", "a: ", "b: ", "c:", "d@1: ", "true: ", "1:", "f/g.h: "]),
    st.lists(_PIECES, max_size=3).map("".join),
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=100) | _PIECES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | _PIECES | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


def _check(text: str) -> None:
    simple = read_simple(text)
    if simple is None:
        return
    # A text that is refused there would raise here.
    full = build_document(text, "f.yaml")
    assert _comparable(simple) == _comparable(full), text


def _comparable(value: Any) -> Any:
    """Types and order count; NaN is what it is."""
    if isinstance(value, dict):
        return [(_comparable(key), _comparable(inner)) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(_comparable, value)]
    return "nan" if isinstance(value, float) and math.isnan(value) else (type(value).__name__, value)


@given(st.lists(_LINES, max_size=8))
@settings(max_examples=300, deadline=None)
@example(["a:", "- b", "- c: 1", "  d:", "  - 2", "e: 3"])
@example(["a: b", "  c", "", "  d"])
@example(["a: b # c", "  d"])
@example(['a: "b', "  c", '  d"', "e: 1"])
@example(['a: "b', 'c"'])
@example(["- a", " - b"])
@example(["a: 1", "true: 2"])
@example(["a: 1", "---", "b: 2"])
def test_random_lines_are_read_as_by_the_parser_or_left_to_it(lines: list[str]) -> None:
    _check("\n".join(lines))


@given(st.dictionaries(st.text("abc@/.1", min_size=1, max_size=5), _VALUES, max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_is_dumped_is_read_as_by_the_parser_or_left_to_it(values: Mapping[str, Any]) -> None:
    _check(dump_yaml(values).decode())


_LOCK = """\
schema: '2.0'
stages:
  train@a-1:
    cmd: python train.py --rate 0.1 --layers 3 --optimizer adam --more options > models/a
      2> log
    deps:
    - path: data/raw
      hash: md5
      md5: 0dabe0ac327240bfa13585fcab742c67.dir
      size: 5
      nfiles: 2
    - path: src/it's.py
      hash: md5
      md5: 12345678901234567890123456789e12
      size: 17
      isexec: true
    params:
      params.yaml:
        lr: 0.1
        model: {}
        layers:
        - 1
        - a: b
          c: null
        name: 'yes: "no"'
        note: "two\\nlines, of which the second is longer than what stands in one line of a\\
          \\ file"
    outs: []
  two:
    cmd:
    - echo
    - "a: b"
"""


def test_a_lock_is_simple() -> None:
    assert read_simple(_LOCK) is not None
    _check(_LOCK)


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(_LOCK)), st.integers(0, 3), st.sampled_from(["", "\n", "\n  "]) | _PIECES
        ),
        min_size=1,
        max_size=2,
    )
)
@settings(max_examples=300, deadline=None)
def test_a_lock_that_somebody_edited_is_read_as_by_the_parser_or_left_to_it(
    edits: list[tuple[int, int, str]],
) -> None:
    text = _LOCK
    for position, removed, added in edits:
        text = text[:position] + added + text[position + removed :]
    _check(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\n",
        "a: *x\n",
        "a: |\n  b\n",
        "a: !!str 1\n",
        "<<: {a: 1}\n",
        "a: 1\na: 2\n",
        "a: 2024-02-30\n",
        "{a: 1}\n",
        "",
    ],
)
def test_what_needs_the_parser_is_left_to_it(text: str) -> None:
    assert read_simple(text) is None


@pytest.mark.parametrize("line", ['"\\"\n', "a\n", "\\\n"])
def test_a_long_scalar_is_left_to_the_parser_before_it_costs_much(line: str) -> None:
    assert read_simple('a: "b\n' + f"  {line}" * 100_000) is None
    assert read_simple("a: b\n" + f"  {line}" * 100_000) is None


def test_errors_are_found_by_the_parser() -> None:
    with pytest.raises(PipelineInvalid, match="second time"):
        build_document("a: 1\na: 2\n", "f.yaml")
