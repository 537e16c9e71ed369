"""The strict key changes with everything that a result may depend on, and with nothing else."""

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.blob import hash_content
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.images.image import Image
from wherry.service.domain.keys import strict_key
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry
from wherry.service.domain.task import StrictKey

_IMAGE = Image(name="team/base", digest="sha256:aa", platform="linux/amd64")


def _stage(text: str = "cmd: x, deps: [a, b], outs: [o, p]", path: str = "dvc.yaml") -> Stage:
    return parse_pipeline_file(f"stages: {{s: {{{text}}}}}".encode(), ProjectPath(path))[0]


def _dep(path: str, content: bytes = b"1", *, executable: bool = False) -> FileEntry:
    return FileEntry(path=path, hash=hash_content(content), size_bytes=len(content), executable=executable)


_INPUTS: dict[str, Any] = {
    "stage": _stage(),
    "deps": (_dep("a"), _dep("b")),
    "params": {"params.yaml": {"lr": 0.1, "size": 1}},
    "environment": {"A": "1"},
    "image": _IMAGE,
    "network": True,
}


def _key(**changes: Any) -> StrictKey:
    inputs = {**_INPUTS, **changes}
    return strict_key(inputs.pop("stage"), **inputs)


def test_the_key_of_these_inputs_never_changes_within_a_version() -> None:
    assert _key() == "b795dd0194b5f9e92a68174ce4e8c7615db5fe3abac9e83c8467381dc34ecc71"


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": _stage("cmd: y, deps: [a, b], outs: [o, p]")},
        {"stage": _stage("cmd: [x], deps: [a, b], outs: [o, p]")},
        {"stage": _stage("cmd: x, deps: [a, b], outs: [o]")},
        {"stage": _stage("cmd: x, deps: [a, b], outs: [o, {p: {cache: false}}]")},
        {"stage": _stage("cmd: x, deps: [a, b], outs: [o], metrics: [p]")},
        {"stage": _stage("cmd: x, deps: [a, b], outs: [o, p], wdir: w")},
        {"deps": (_dep("a"),)},
        {"deps": (_dep("a"), _dep("b", b"2"))},
        {"deps": (_dep("a"), _dep("./b"))},
        {"deps": (_dep("a"), _dep("b", executable=True))},
        {"params": {"params.yaml": {"lr": 0.2, "size": 1}}},
        {"params": {"params.yaml": {"lr": 0.1, "size": 2}}},
        {"params": {"params.yaml": {"lr": 0.1}}},
        {"params": {"params.yaml": {"lr": 0.1, "size": 1.0}}},
        {"params": {"params.yaml": {"lr": 0.1, "size": True}}},
        {"params": {"params.yaml": {"lr": 0.1, "size": "1"}}},
        {"params": {"p.yaml": {"lr": 0.1, "size": 1}}},
        {"params": {}},
        {"environment": {}},
        {"environment": {"A": "2"}},
        {"image": dataclasses.replace(_IMAGE, digest="sha256:bb")},
        {"image": dataclasses.replace(_IMAGE, platform="linux/arm64")},
        {"network": False},
        {"previous": {"o": None}},
        {"previous": {"o": _dep("o")}},
    ],
    ids=str,
)
def test_changing_any_component_changes_the_key(changes: dict[str, Any]) -> None:
    assert _key(**changes) != _key()


def test_the_key_knows_what_a_persistent_output_was_before() -> None:
    nothing, one, two = ({"o": before} for before in (None, _dep("o", b"1"), _dep("o", b"2")))
    program = {"o": _dep("o", b"1", executable=True)}
    assert len({_key(previous=previous) for previous in (nothing, one, two, program)}) == 4


def test_what_a_result_does_not_depend_on_does_not_count() -> None:
    elsewhere = dataclasses.replace(
        _stage("cmd: x, deps: [a, b], outs: [p, o], desc: d, frozen: true"), key="t"
    )
    assert _key(stage=elsewhere, image=dataclasses.replace(_IMAGE, name="other")) == _key()


@given(st.lists(st.text("ab/.é", min_size=1, max_size=4), max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_deps_does_not_matter(paths: list[str], chance: random.Random) -> None:
    deps = [_dep(path, str(number).encode()) for number, path in enumerate(paths)]
    shuffled = chance.sample(deps, len(deps))
    assert _key(deps=shuffled) == _key(deps=deps)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 2), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(_VALUES, _VALUES)
def test_different_values_of_a_parameter_have_different_keys(one: Any, other: Any) -> None:
    same = _key(params={"p": {"k": one}}) == _key(params={"p": {"k": other}})
    assert same is (repr(_canonical(one)) == repr(_canonical(other)))


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return ("dict", sorted((repr(key), _canonical(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return ("list", [_canonical(inner) for inner in value])
    return value
