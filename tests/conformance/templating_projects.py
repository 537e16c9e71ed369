"""Projects with templates, drawn at random: plausible ones, of which about half are wrong."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.conformance.templating_cases import Files

_NAMES = ("a", "b", "c d", "e", "item", "key")
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 20),
    st.sampled_from([0.5, 1e-05, 1e16, 2.0]),
    st.sampled_from(["x", "two words", "it's", "", "true", "1", "${a}", "\\${a}", "a-b"]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)
_MAPPINGS = st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=4)
_VALUES_FILE = st.fixed_dictionaries(
    {"a": _SCALARS, "b": st.lists(_SCALARS, min_size=1, max_size=3), "c d": _SCALARS},
    optional={"e": st.fixed_dictionaries({"a": _SCALARS, "b": _VALUES}), "item": _VALUES, "key": _SCALARS},
)
_RIGHT = ("a", "b[0]", "b.-1", "c d", " a ", "b [0]")
_ODD = ("b", "e", "e.a", "item", "key", "item.a", "item[b]", "e[b].a", "nope", "a.", "b[1]")
_EXPRESSIONS = st.sampled_from([*_RIGHT * 8, *_ODD]).map("${{{}}}".format)
_LISTS = st.sampled_from(["${b}", "${b}", "${e}", "${e.b}", "${a}"])
_TEXTS = st.lists(
    st.one_of(_EXPRESSIONS, st.sampled_from(["x", " ", "-", "\\", "$", "}", "w/"])), min_size=1, max_size=4
).map("".join)


def _stage(draw: st.DrawFn, *, matrix: bool) -> dict[str, Any]:
    stage: dict[str, Any] = {"cmd": "x " + draw(_TEXTS)}
    if draw(st.booleans()):
        stage["cmd"] = [stage["cmd"], "y " + draw(_TEXTS)]
    if draw(st.integers(0, 3)) == 0:
        stage["deps"] = ["d-" + draw(_TEXTS)]
    if draw(st.integers(0, 4)) == 0:
        stage["vars"] = [draw(_MAPPINGS)]
    if draw(st.integers(0, 4)) == 0:
        stage["meta"] = {"wherry": {"k" + draw(_TEXTS): draw(_TEXTS)}}
    if draw(st.integers(0, 4)) == 0:
        stage["params"] = ["p" + draw(_EXPRESSIONS)]
    if matrix:
        axis = st.one_of(_LISTS, st.lists(st.one_of(_VALUES, _EXPRESSIONS), max_size=3))
        stage["matrix"] = draw(st.dictionaries(st.sampled_from(_NAMES), axis, max_size=2))
    return stage


@st.composite
def projects(draw: st.DrawFn) -> Files:
    """Projects that a person could have written on a bad day: about half of them are wrong."""
    stages: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["s", "t"]), min_size=1, unique=True)):
        kind = draw(st.sampled_from(["plain", "foreach", "matrix"]))
        stages[name] = _stage(draw, matrix=kind == "matrix")
        if kind == "foreach":
            data = draw(st.one_of(_LISTS, st.lists(st.one_of(_VALUES, _EXPRESSIONS), max_size=3), _MAPPINGS))
            stages[name] = {"foreach": data, "do": stages[name]}
    document: dict[str, Any] = {"stages": stages}
    if draw(st.integers(0, 3)) == 0:
        document["vars"] = [draw(_MAPPINGS)]
    files = {"params.yaml": json.dumps(draw(_VALUES_FILE)), "dvc.yaml": json.dumps(document)}
    option = draw(st.sampled_from(["", "", "bool = boolean_optional", "list = append"]))
    return {**files, ".dvc/config": f"[core]\n    no_scm = true\n[parsing]\n    {option}\n"}
