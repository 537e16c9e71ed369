"""What needs no thought is written to the bytes that ruamel.yaml writes, and everything else is left to it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.service.domain.dvc.emit import dump_yaml, load_for_edit
from wherry.service.domain.dvc.plain_emit import NotPlain, emit_mapping

_ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
_WORDS = st.lists(_ASCII, max_size=12).map(" ".join)
_TEXTS = st.one_of(
    _WORDS,
    st.builds("{}{}".format, st.sampled_from(["python ", "./run.sh ", "../a", "/bin/x", "_"]), _WORDS),
    st.lists(st.text("ab/.-_=>", min_size=1, max_size=25), min_size=1, max_size=12).map(
        lambda words: " ".join(["cmd", *words])
    ),
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.from_regex(r"[0-9]{1,3}[eb][0-9]{28,30}", fullmatch=True),
)
_KEYS = st.text("abx_@./-019", min_size=1, max_size=12).map(lambda text: f"k{text}") | _ASCII
_VALUES = st.recursive(
    st.one_of(
        _TEXTS,
        st.booleans(),
        st.none(),
        st.integers(),
        st.floats(allow_nan=False),
        st.integers(-(10**6), 10**6).map(lambda number: number / 1000),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=3))
@settings(deadline=None, max_examples=50)
def test_what_is_written_is_what_ruamel_writes_and_leaves_as_it_is(mapping: dict[str, Any]) -> None:
    try:
        written = emit_mapping(mapping, 0).encode()
        within = ("stages:\n  s:\n" + emit_mapping(mapping, 4)).encode()
    except NotPlain:
        return
    assert written == dump_yaml(mapping)
    assert within == dump_yaml({"stages": {"s": mapping}})
    assert dump_yaml(load_for_edit(written, "x")) == written


@pytest.mark.parametrize(
    "value",
    [
        "python train.py --lr 0.1 > out.txt && echo done",
        "word " * 40 + "end",
        "x" * 200,
        f"{'x' * 100} {'y' * 100} z",
        {"path": "data/raw.csv", "hash": "md5", "md5": "d8e8fca2dc0f896fd7cb4cb0031ba249", "size": 5},
        {"lr": 0.001, "epochs": 10, "deep": {"on_gpu": True, "names": ["a", "b"]}},
    ],
)
def test_the_usual_is_not_left_to_ruamel(value: object) -> None:
    assert emit_mapping({"cmd": value}, 0) == dump_yaml({"cmd": value}).decode()


def test_a_value_that_is_held_twice_is_left_to_ruamel() -> None:
    shared = ["a"]
    with pytest.raises(NotPlain):
        emit_mapping({"one": shared, "two": shared}, 0)
