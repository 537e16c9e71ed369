"""dvc.lock and the run cache: read, compared, keyed and written."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.dvc import run_cache
from wherry.service.domain.dvc.lockfile import is_unchanged, parse_lock, update_lock
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, StageEntry

LOCK = ProjectPath("dvc.lock")


def _file(path: str, content: bytes = b"1\n", *, executable: bool = False) -> FileEntry:
    return FileEntry(path=path, hash=hash_content(content), size_bytes=len(content), executable=executable)


CP = StageEntry(cmd="cp i o", deps=(_file("i"),), params={}, outs=(_file("o"),))
PR = StageEntry(
    cmd=("cp i p1", "chmod +x p1"),
    deps=(_file("i"),),
    params={"params.yaml": {"lr": 0.001, "opt": {"name": "ünï", "sz": [1, 2.0, True, None]}, "size": 7}},
    outs=(_file("p1", executable=True),),
)


def test_the_keys_and_values_are_those_that_dvc_computed() -> None:
    assert run_cache.cache_key(CP) == "e177e5a1eebb80bfaa263409fff6476367e8d334a21edf764c72548390353270"
    assert run_cache.cache_value(CP) == "33abbb051ee1712358476032aad6c99c0719560893cff7056b37cd3624b04061"
    assert run_cache.cache_key(PR) == "d43e451feac03f211ee476d6872245e0694e41a35bcf05db9e6a4f1f0cb40fb3"
    assert run_cache.cache_value(PR) == "856be96e3a0e1184126078f508046049d450a24a3436bb504eb0ac5d91f2c5ba"


def test_an_entry_is_written_as_dvc_writes_it() -> None:
    assert run_cache.entry_bytes(CP).decode() == (
        "cmd: cp i o\ndeps:\n- path: i\n  hash: md5\n  md5: b026324c6904b2a9cb4b88d6d61c81d1\n  size: 2\n"
        "outs:\n- path: o\n  hash: md5\n  md5: b026324c6904b2a9cb4b88d6d61c81d1\n  size: 2\n"
    )
    assert run_cache.entry_path("abc", "def") == "runs/ab/abc/def"


def test_dvc_s_key_overlooks_parameters_named_size() -> None:
    other = dataclasses.replace(PR, params={"params.yaml": {**PR.params["params.yaml"], "size": 8}})
    assert run_cache.cache_key(other) == run_cache.cache_key(PR)


@pytest.mark.parametrize(
    ("body", "eligible"),
    [
        ("deps: [i], outs: [o]", True),
        ("params: [a], outs: [o]", True),
        ("deps: [i], metrics: [{m: {cache: false}}]", True),
        ("deps: [i], outs: [o, {p: {cache: false}}]", False),
        ("outs: [o]", False),
        ("deps: [i]", False),
        ("deps: [i], outs: [o], always_changed: true", False),
    ],
)
def test_dvc_keeps_only_stages_that_read_and_write(body: str, *, eligible: bool) -> None:
    assert run_cache.is_eligible(_stage(body)) is eligible


def test_dvc_does_not_keep_a_stage_whose_whole_parameters_file_is_empty() -> None:
    stage = _stage("params: [{p.yaml: }], outs: [o]")
    assert not run_cache.is_eligible(stage, {"p.yaml": {}})
    assert run_cache.is_eligible(stage, {"p.yaml": {"a": 1}})


def _stage(body: str) -> Stage:
    return parse_pipeline_file(f"stages: {{s: {{cmd: x, {body}}}}}".encode(), ProjectPath("dvc.yaml"))[0]


_PATHS = st.text("abc/._-é ", min_size=1, max_size=6)
_FILES = st.lists(
    st.builds(
        FileEntry,
        path=_PATHS,
        hash=st.from_regex(r"[0-9a-f]{32}(\.dir)?", fullmatch=True).map(BlobHash),
        size_bytes=st.integers(0, 10**12),
        nfiles=st.none() | st.integers(0, 99),
        executable=st.booleans(),
    ),
    max_size=3,
).map(lambda files: tuple(sorted(files, key=lambda file: file.path)))
# ruamel.yaml itself does not read NEL back as it writes it.
_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x85"), max_size=30)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)
_ENTRIES = st.builds(
    StageEntry,
    cmd=st.text("abc  -'\"$&|#:\n", min_size=1, max_size=200)
    | st.lists(_WORDS, min_size=1, max_size=3).map(tuple),
    deps=_FILES,
    params=st.dictionaries(
        st.sampled_from(["params.yaml", "a.json"]), st.dictionaries(_WORDS, _VALUES, max_size=3)
    ),
    outs=_FILES,
)
LOCKS = st.dictionaries(st.text("abc.1e @é", min_size=1, max_size=5), _ENTRIES, max_size=7)


@given(st.text("abc.1e @é", min_size=1, max_size=5), _ENTRIES)
@settings(deadline=None)
def test_what_is_written_reads_back_as_the_same_entry(key: str, entry: StageEntry) -> None:
    assert parse_lock(update_lock(None, {key: entry}, LOCK), LOCK) == {key: entry}


@given(LOCKS, LOCKS)
@settings(deadline=None, max_examples=15)
def test_writing_stages_at_once_equals_writing_them_one_after_another(
    before: Mapping[str, StageEntry], entries: Mapping[str, StageEntry]
) -> None:
    written = start = update_lock(None, before, LOCK)
    for key, entry in entries.items():
        written = update_lock(written, {key: entry}, LOCK)
    assert update_lock(start, entries, LOCK) == (written if entries else update_lock(start, {}, LOCK))


def test_floats_that_ruamel_alters_are_altered_as_often_as_dvc_would() -> None:
    entry = dataclasses.replace(CP, params={"params.yaml": {"k": 5.815855777246445e16}})
    entries = {f"s{number}": entry for number in range(7)}
    written = None
    for key in entries:
        written = update_lock(written, {key: entry}, LOCK)
    assert update_lock(None, entries, LOCK) == written


def test_values_that_stages_share_in_memory_are_not_written_as_one() -> None:
    shared: dict[str, Any] = {"a": [1]}
    entry = StageEntry(cmd="x", deps=(), params={"params.yaml": {"k": shared}}, outs=())
    written = update_lock(None, {"one": entry, "two": entry, "three": entry}, LOCK)
    assert b"&" not in written


_MIXED = b"""\
schema: '2.0'
stages:
  s:
    cmd: x
    deps:
    - path: old
      md5: b026324c6904b2a9cb4b88d6d61c81d1
      size: 2
    - path: new
      hash: md5
      md5: b026324c6904b2a9cb4b88d6d61c81d1
      size: 2
    - path: none
      hash: md5
"""


def test_recorded_files_without_a_hash_match_nothing_and_old_hashes_are_marked() -> None:
    recorded = parse_lock(_MIXED, LOCK)["s"]
    assert [(dep.path, dep.is_legacy) for dep in recorded.deps] == [("old", True), ("new", False)]
    for path, unchanged in (("new", True), ("old", True), ("none", False)):
        current = StageEntry(cmd="x", deps=(_file(path),), params={}, outs=())
        assert is_unchanged(recorded, current) is unchanged


def test_an_old_hash_is_written_without_its_kind() -> None:
    entry = parse_lock(_MIXED, LOCK)["s"]
    written = update_lock(None, {"s": entry}, LOCK)
    assert b"    - path: old\n      md5: b026324c6904b2a9cb4b88d6d61c81d1\n      size: 2\n" in written
    assert b"    - path: new\n      hash: md5\n      md5: b026324c6904b2a9cb4b88d6d61c81d1\n" in written


def test_foreign_entries_and_comments_survive_an_update() -> None:
    data = b"# top\n" + _MIXED
    written = update_lock(data, {"new": CP}, LOCK)
    assert written.startswith(data)
    assert parse_lock(written, LOCK)["new"] == CP


@pytest.mark.parametrize(
    "text",
    [
        "stages: {}\n",
        "schema: 2.0\nstages: {}\n",
        "schema: '1.0'\nstages: {}\n",
        "schema: '2.0'\nstages: {s: {}}\n",
        "schema: '2.0'\nstages: {s: {cmd: x, wdir: y}}\n",
        "schema: '2.0'\nstages: {s: {cmd: x, params: {p: {1: a}}}}\n",
        "schema: '2.0'\nstages: {s: {cmd: x, deps: [{path: a, hash: md5, md5: 12345678901234567890123456789012}]}}\n",
        "schema: '2.0'\nother: 1\n",
        "- 1\n",
    ],
)
def test_a_lock_that_dvc_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(PipelineInvalid):
        parse_lock(text.encode(), LOCK)
    with pytest.raises(PipelineInvalid):
        update_lock(text.encode(), {"s": CP}, LOCK)


@pytest.mark.parametrize("text", [b"", b"# only a comment\n", b"{}\n"])
def test_an_empty_lock_is_refused(text: bytes) -> None:
    with pytest.raises(PipelineInvalid, match="a lock that is empty"):
        parse_lock(text, LOCK)


@pytest.mark.parametrize(
    ("recorded", "current", "unchanged"),
    [
        (1, 1, True),
        (1, True, True),
        (1, 1.0, True),
        ([1, 2], (1, 2), True),
        ([[1, 2]], [(1, 2)], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (None, None, True),
        (None, 0, False),
        (float("nan"), float("nan"), False),
    ],
)
def test_parameters_compare_as_dvc_compares_them(recorded: Any, current: Any, *, unchanged: bool) -> None:
    one = dataclasses.replace(CP, params={"params.yaml": {"k": recorded}})
    other = dataclasses.replace(CP, params={"params.yaml": {"k": current}})
    assert is_unchanged(one, other) is unchanged


def test_every_change_but_an_execute_bit_counts() -> None:
    base = dataclasses.replace(CP, params={"params.yaml": {"k": 1}})
    assert is_unchanged(base, base)
    assert is_unchanged(base, dataclasses.replace(base, outs=(_file("o", executable=True),)))
    for change in (
        {"cmd": ("cp i o",)},
        {"deps": (_file("i", b"2\n"),)},
        {"deps": (_file("i"), _file("j"))},
        {"outs": (_file("o", b"2\n"),)},
        {"params": {"params.yaml": {"k": 2}}},
        {"params": {"params.yaml": {"k": 1, "l": 1}}},
        {"params": {"other.yaml": {"k": 1}}},
    ):
        assert not is_unchanged(base, dataclasses.replace(base, **change)), change


def test_what_is_recorded_beyond_the_stage_does_not_count_except_in_whole_files() -> None:
    recorded = dataclasses.replace(
        CP, deps=(*CP.deps, _file("gone")), params={"params.yaml": {"k": 1, "l": 2}, "gone.yaml": {"a": 1}}
    )
    current = dataclasses.replace(CP, params={"params.yaml": {"k": 1}})
    assert is_unchanged(recorded, current)
    assert not is_unchanged(recorded, current, whole_files={"params.yaml"})
