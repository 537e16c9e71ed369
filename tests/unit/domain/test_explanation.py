"""What differs between two keys is named: every part of a key, and nothing that is no part of it."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.blob import hash_content
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.explanation import (
    Difference,
    KeyParts,
    Part,
    circumstances_of,
    compare,
    describe,
    family_of,
    find_nearest,
    parts_of,
)
from wherry.service.domain.images.image import Image
from wherry.service.domain.keys import strict_key
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry
from wherry.service.domain.task import RunId, StageTask

_IMAGE = Image(name="team/base", digest="sha256:" + "a" * 64, platform="linux/amd64")


def _stage(text: str = "cmd: x, deps: [a, b], outs: [o, p]", path: str = "dvc.yaml") -> Stage:
    return parse_pipeline_file(f"stages: {{s: {{{text}}}}}".encode(), ProjectPath(path))[0]


def _dep(path: str, content: bytes = b"1", *, executable: bool = False) -> FileEntry:
    return FileEntry(path=path, hash=hash_content(content), size_bytes=len(content), executable=executable)


def _task(**changes: Any) -> StageTask:
    inputs: dict[str, Any] = {
        "stage": _stage(),
        "deps": (_dep("a"), _dep("b")),
        "params": {"params.yaml": {"lr": 0.1, "nested": {"deep": [1], "other": 2}}},
        "environment": {"A": "1"},
        "image": _IMAGE,
        "network": True,
    } | changes
    stage, ignore = inputs.pop("stage"), inputs.pop("ignore", IgnoreRules({}))
    return StageTask(
        run_id=RunId("1"),
        user="ana",
        stage=stage,
        key=strict_key(stage, **inputs, ignored=ignore.fingerprint),
        ignore=ignore,
        files={},
        data=(),
        use_cache=True,
        cacheable=True,
        **inputs,
    )


def _words(before: StageTask, after: StageTask) -> list[str]:
    return [describe(difference) for difference in compare(parts_of(before), parts_of(after))]


_H1, _H2 = str(hash_content(b"1"))[:12], str(hash_content(b"2"))[:12]

CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "persistent-output-is-there": ({"previous": {"o": _dep("o")}}, [f"o before the stage added ({_H1})"]),
    "command": ({"stage": _stage("cmd: y, deps: [a, b], outs: [o, p]")}, ["command: x -> y"]),
    "command-as-list": ({"stage": _stage("cmd: [x], deps: [a, b], outs: [o, p]")}, ['command: x -> ["x"]']),
    "dep": ({"deps": (_dep("a"), _dep("b", b"2"))}, [f"b {_H1} -> {_H2}"]),
    "dep-executable": ({"deps": (_dep("a"), _dep("b", executable=True))}, [f"b {_H1} -> {_H1} +x"]),
    "dep-added": ({"deps": (_dep("a"), _dep("b"), _dep("c"))}, [f"c added ({_H1})"]),
    "dep-removed": ({"deps": (_dep("a"),)}, [f"b removed (was {_H1})"]),
    "param": (
        {"params": {"params.yaml": {"lr": 0.05, "nested": {"deep": [1], "other": 2}}}},
        ["params.yaml: lr 0.1 -> 0.05"],
    ),
    "param-of-another-type": (
        {"params": {"params.yaml": {"lr": "0.1", "nested": {"deep": [1], "other": 2}}}},
        ['params.yaml: lr 0.1 -> "0.1"'],
    ),
    "param-deep": (
        {"params": {"params.yaml": {"lr": 0.1, "nested": {"deep": [1, 2], "new": None}}}},
        [
            "params.yaml: nested.deep [1] -> [1, 2]",
            "params.yaml: nested.new added (null)",
            "params.yaml: nested.other removed (was 2)",
        ],
    ),
    "output-kind": (
        {"stage": _stage("cmd: x, deps: [a, b], outs: [o], metrics: [{p: {cache: false}}]")},
        ["output p out -> metric (not cached)"],
    ),
    "image": (
        {"image": dataclasses.replace(_IMAGE, digest="repo/x@sha256:" + "b" * 64)},
        ["image team/base: aaaaaaaaaaaa -> bbbbbbbbbbbb"],
    ),
    "ignored": (
        {"ignore": IgnoreRules({ProjectPath(".dvcignore"): b"*.log"})},
        [".dvcignore: changed"],
    ),
    "platform": (
        {"image": dataclasses.replace(_IMAGE, platform="linux/arm64")},
        ["platform: linux/amd64 -> linux/arm64"],
    ),
    "variable": ({"environment": {"A": "secret"}}, ["environment: A changed"]),
    "variable-added": ({"environment": {"A": "1", "B": "secret"}}, ["environment: B added"]),
    "variable-removed": ({"environment": {}}, ["environment: A removed"]),
    "network": ({"network": False}, ["network: allow -> deny"]),
    "image-name": ({"image": dataclasses.replace(_IMAGE, name="other")}, []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_part_of_the_key_is_named_when_it_changes_and_only_then(name: str) -> None:
    changes, words = CHANGES[name]
    assert _words(_task(), _task(**changes)) == words
    assert (_task().key == _task(**changes).key) is not bool(words)


def test_values_of_variables_are_nowhere_in_what_is_kept() -> None:
    assert "do-not-tell" not in repr(circumstances_of(_task(environment={"A": "do-not-tell"})))


def test_long_values_are_cut_to_one_short_line() -> None:
    difference = Difference(part=Part.COMMAND, before="x " * 500, after="a\nb")
    assert describe(difference).endswith("… -> a b")
    assert len(describe(difference)) < 100


def test_a_family_is_its_folder_and_outputs() -> None:
    family = family_of(_stage())
    assert family_of(_stage("cmd: y, outs: [p, {o: {cache: false}}], params: [q]")) == family
    assert family_of(_stage("cmd: x, deps: [a, b], outs: [o]")) != family
    assert family_of(_stage(path="sub/dvc.yaml")) != family


def test_the_nearest_has_the_fewest_differences_and_of_several_the_first_is_taken() -> None:
    far = parts_of(_task(deps=(), network=False))
    near, as_near = parts_of(_task(network=False)), parts_of(_task(environment={}))
    found = find_nearest(parts_of(_task()), [far, near, as_near], lambda parts: parts)
    assert found is not None
    assert found[0] is near
    assert [difference.part for difference in found[1]] == [Part.NETWORK]
    assert find_nearest(parts_of(_task()), [], lambda parts: parts) is None


def test_parts_that_are_not_known_any_more_are_not_compared() -> None:
    known = parts_of(_task())
    partly = KeyParts(deps=known.deps, params=known.params, image="sha256:other")
    assert [difference.part for difference in compare(known, partly)] == [Part.IMAGE]


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text("ab", max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=5,
)


@given(_VALUES, _VALUES)
def test_a_parameter_is_named_exactly_when_it_changes_the_key(one: Any, other: Any) -> None:
    before, after = (_task(params={"p": {"k": value}}) for value in (one, other))
    assert bool(_words(before, after)) is (before.key != after.key)
