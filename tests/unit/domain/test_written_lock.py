"""A lock in DVC's own form is read as any YAML is, or left to the reader of any YAML."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.domain.test_lock import LOCK, LOCKS
from wherry.service.domain.dvc.lockfile import read_any_lock, update_lock
from wherry.service.domain.dvc.written_lock import read_written_lock
from wherry.service.domain.records import StageEntry

_TEXT = """\
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
    - path: a file.py
      hash: md5
      md5: 12345678901234567890123456789e1a
      size: 17
      isexec: true
    params:
      params.yaml:
        lr: 0.1
        layers:
        - 1
        - a: b
  two:
    cmd: echo
    outs:
    - path: out
      hash: md5
      md5: b026324c6904b2a9cb4b88d6d61c81d1
      size: 2
"""
_EDITS = st.lists(
    st.tuples(
        st.integers(0, len(_TEXT)),
        st.integers(0, 6),
        st.sampled_from(
            [
                ": ",
                " # c",
                "#",
                "'",
                '"',
                "-",
                "- ",
                "0",
                "1",
                "e",
                "a",
                "é",
                "true",
                "null",
                "~",
                "path: x",
                "&x ",
                "*x",
                "!!str ",
                "[",
                "{}",
                " ",
                "  ",
                "",
                "",
                "\n",
                "\n      ",
                "    outs:\n",
                "\t",
                "\ufeff",
            ]
        ),
    ),
    max_size=3,
)


def _check(text: str) -> bool:
    read = read_written_lock(text)
    if read is None:
        return False
    # What is refused there raises.
    full = read_any_lock(text.encode(), LOCK)
    assert list(read) == list(full)
    assert repr(read) == repr(full)
    return True


def test_what_dvc_writes_is_read_so() -> None:
    assert _check(_TEXT)


@given(_EDITS)
@settings(max_examples=300, deadline=None)
def test_an_edited_lock_is_read_as_any_yaml_or_left_to_that(edits: list[tuple[int, int, str]]) -> None:
    text = _TEXT
    for position, removed, added in edits:
        text = text[:position] + added + text[position + removed :]
    _check(text)


@given(LOCKS)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_as_any_yaml_or_left_to_that(entries: Mapping[str, StageEntry]) -> None:
    _check(update_lock(None, entries, LOCK).decode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: 5", f"size: {'9' * 5000}"),
        ("md5: b026324c6904b2a9cb4b88d6d61c81d1", "md5: 12345678901234567890123456789012"),
        ("md5: b026324c6904b2a9cb4b88d6d61c81d1", "md5: 12345678901234567890123456789e12"),
        ("path: out", "path: 1"),
        ("  two:", "  true:"),
        ("  two:", "  train@a-1:"),
        ("cmd: echo", "cmd: 1"),
        ("cmd: echo", "cmd: a: b"),
        ("cmd: echo", "cmd: a # b"),
        ("      hash: md5\n", ""),
        ("schema: '2.0'", "schema: 2.0"),
        ("stages:\n", "stages:\n# c\n"),
    ],
)
def test_what_dvc_does_not_write_is_left_to_the_reader_of_any_yaml(old: str, new: str) -> None:
    assert old in _TEXT
    assert read_written_lock(_TEXT.replace(old, new)) is None
