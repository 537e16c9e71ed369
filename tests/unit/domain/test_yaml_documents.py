"""Whole documents, drawn as text: read as ruamel's safe loader reads them, or refused."""

import math
import re
import warnings
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError

from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import PipelineInvalid

# What only Wherry refuses, and what must be in a text for it: libyaml is stricter in these, and a key beside `<<` is
# held to the rule for all keys.
_OWN_REFUSALS = {
    "cannot be a key here": r"\?|[\]}] *:|\*\w+ *:",
    "did not find expected <document start>": r"(?m)^(?:--- *)?(?:[&!]\S+ +)* *[|>][+-]?\d?(?: .*)?$|^%|^\.\.\.",
    "did not find expected key": r"(?m)^ *(?:- *)*:|\?|[&!]",
    "found a tab character where an indentation space is expected": r"[|>].*\n(?:.*\n)*? *\t",
    "stands here a second time": r"<<",
}

_KEYS = [
    "a",
    "b",
    "c",
    "1",
    "true",
    "~",
    "1.5",
    "'q'",
    '"d"',
    "<<",
    "=",
    "a b",
    "k.l",
    "? x",
    "-1",
    "*x",
    "&k e",
]
_PLAIN = [
    "x", "1", "0o17", "1e3", ".5", "true", "null", "~", "", "two words", "a:b", "a#b", "x # comment", "x: y", "@x",
    "%x", "-", "- x", "?", "2020-01-01", "'it''s'", '"a\\tb"', '"open', "'open", "'a' b", "!!str 1", "!!int '2'",
    "! 3", "!local x", "&x 1", "&x [1]", "&y {a: 1}", "*x", "*y", "[]", "{}", "[a, b]", "[a,b", "{a: 1, b: 2}",
    "{a: 1, a: 2}", "{a, b: }", "[a: 1]", "[[1], {b: c}]", "{a: [1, 2], <<: *y}", "[*x, *y]", "{1: a, true: b}",
    "|", ">", "|-", ">+", "|2", ">-  # c", "a\tb", "\tx", "x\t", "x ", "x \\", '"a \\', "'a", "\u00e9", "\u2028",
]  # fmt: skip
_INDENTS = ["", "  ", "    ", " ", "   ", "\t", "      "]

_SCALAR_TEXTS = st.sampled_from(_PLAIN)
_PAIRS = st.builds("{}:{}{}".format, st.sampled_from(_KEYS), st.sampled_from([" ", "  ", ""]), _SCALAR_TEXTS)
_ITEMS = st.builds("{}{}".format, st.sampled_from(["- ", "-   ", "- - ", "-"]), _PAIRS | _SCALAR_TEXTS)
_OTHERS = st.sampled_from(
    ["", "# comment", "---", "...", "%YAML 1.2", "--- x", "? a", ": b", "<<: *y", "<<: [*y, *x]"]
)
_LINES = st.builds(
    "{}{}".format,
    st.sampled_from(_INDENTS[:3]) | st.sampled_from(_INDENTS),
    _PAIRS | _PAIRS | _ITEMS | _SCALAR_TEXTS | _OTHERS,
)
_DOCUMENTS = st.lists(_LINES, max_size=8).map(lambda lines: "\n".join([*lines, ""]))


def _block(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    """Lines of a mapping or list that holds the lines of `inner`, indented."""

    def mapping(parts: list[tuple[str, list[str]]], indent: str) -> list[str]:
        return [
            line
            for key, lines in parts
            for line in (
                [f"{key}: {lines[0]}"] if len(lines) == 1 else [f"{key}:", *(indent + line for line in lines)]
            )
        ]

    def items(parts: list[list[str]], _indent: str) -> list[str]:
        return [line for lines in parts for line in (f"- {lines[0]}", *(f"  {line}" for line in lines[1:]))]

    indents = st.sampled_from(["  ", " ", "    "])
    keys = st.sampled_from(_KEYS[:14])
    anchored = inner.map(lambda lines: ["&x", *lines] if len(lines) > 1 else lines)
    return st.builds(
        mapping, st.lists(st.tuples(keys, inner | anchored), min_size=1, max_size=4), indents
    ) | st.builds(items, st.lists(inner, min_size=1, max_size=3), indents)


_LEAVES = st.one_of(
    _SCALAR_TEXTS.map(lambda text: [text]),
    st.tuples(
        st.sampled_from(["|", ">", "|-", ">+", "|2", "'", '"', "p"]),
        st.lists(st.sampled_from(["w", " w", "", "# w", "w: v", "w #c"]), min_size=1, max_size=3),
    ).map(
        lambda drawn: (
            [drawn[0], *(f"  {line}" for line in drawn[1])]
            if drawn[0] in {"|", ">", "|-", ">+", "|2"}
            else [drawn[0] + "x", *drawn[1], "y" + (drawn[0] if drawn[0] != "p" else "")]
        )
    ),
)
_TREES = st.recursive(_LEAVES, _block, max_leaves=6).map(lambda lines: "\n".join([*lines, ""]))


def _ruamel(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            # An anchor may be given again.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            return YAML(typ="safe").load(text)
    except (YAMLError, ValueError, IndexError, TypeError) as exc:
        return exc


def _ours(text: str) -> Any:
    try:
        return parse_yaml(text.encode(), "f.yaml").value
    except PipelineInvalid as exc:
        return exc


def _equal(left: Any, right: Any) -> bool:
    """Equal in type too, all through, and in the order of keys."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            _equal(one, other)
            for pair, twin in zip(left.items(), right.items(), strict=True)
            for one, other in zip(pair, twin, strict=True)
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    return bool(left == right)


def _is_own_refusal(refusal: PipelineInvalid, text: str) -> bool:
    return any(part in refusal.message and re.search(cause, text) for part, cause in _OWN_REFUSALS.items())


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(_DOCUMENTS | _TREES)
@example("a: x\t\n")
@example("a: x\ty\n")
@example("a: 'x\ty'\t# z\n")
@example("a: [\t1,\t'\t' ] # \t\n")
@example("a: &x\t{x:\ty}\n")
@example("a: >-\t# c\n  x\n")
@example("a: |\n \n  x\ty\n\n\tz\n")
@example("a: |2\n \n   x\n")
@example("a: |\n  \n \n x\n")
@example("- x # \t\n...\n...\n")
@example("a: &x {b: &x 1}\nc: *x\n")
def test_documents_are_read_as_ruamel_reads_them(text: str) -> None:
    expected, read = _ruamel(text), _ours(text)
    if isinstance(read, PipelineInvalid):
        assert isinstance(expected, Exception) or _is_own_refusal(read, text)
    else:
        assert not isinstance(expected, Exception)
        assert _equal(read, expected)
