"""Stages are connected by what they read and write; mistakes name both sides and their places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.graph import active_upstream, build_pipeline, topological_order
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Pipeline, StageName
from wherry.service.domain.dvc.targets import select_stages
from wherry.service.domain.errors import PipelineInvalid, StageUnknown
from wherry.service.domain.paths import ROOT, ProjectPath

_MD5 = "b026324c6904b2a9cb4b88d6d61c81d1"


def _pipeline(stages: str, *data: str) -> Pipeline:
    text = f"stages:\n{stages}"
    sources = [
        parse_data_file(
            f"outs: [{{md5: {_MD5}, hash: md5, path: {path}}}]".encode(), ProjectPath(f"{path}.dvc")
        )
        for path in data
    ]
    return build_pipeline(parse_pipeline_file(text.encode(), ProjectPath("dvc.yaml")), sources)


def test_reading_an_output_its_inside_its_folder_or_its_parameters_makes_an_edge() -> None:
    pipeline = _pipeline(
        "  exact: {cmd: x, deps: [o]}\n"
        "  inside: {cmd: x, deps: [d/sub/f]}\n"
        "  around: {cmd: x, deps: [all]}\n"
        "  params: {cmd: x, deps: [raw], params: [{p.json: [k]}]}\n"
        "  none: {cmd: x, deps: [o2, d.x]}\n"
        "  make: {cmd: x, outs: [o, d, all/x, p.json]}\n"
        "  more: {cmd: x, outs: [all/y/z]}\n",
        "raw",
    )
    assert pipeline.upstream == {
        "exact": ("make",),
        "inside": ("make",),
        "around": ("make", "more"),
        "params": ("raw.dvc", "make"),
        "none": (),
        "make": (),
        "more": (),
    }


@pytest.mark.parametrize(
    ("stages", "parts"),
    [
        (
            "  a: {cmd: x, outs: [o]}\n  b: {cmd: x, outs: [o]}\n",
            ["'a'", "'b'", "'o'", "dvc.yaml:2:3", "dvc.yaml:3:3"],
        ),
        (
            "  a: {cmd: x, outs: [d]}\n  b: {cmd: x, outs: [d/e]}\n",
            ["'a'", "'b'", "'d/e'", "'d'", "dvc.yaml:2:3"],
        ),
        ("  a: {cmd: x, outs: [o], metrics: [o]}\n", ["'a'", "'o'", "twice"]),
        ("  a: {cmd: x, outs: [raw]}\n", ["'a'", "'raw.dvc'"]),
        ("  a: {cmd: x, deps: [p], outs: [o]}\n  b: {cmd: x, deps: [o], outs: [p]}\n", ["a -> b -> a"]),
        ("  a: {cmd: x, deps: [o], outs: [o]}\n", ["a -> a"]),
    ],
)
def test_a_mistake_names_the_stages_and_their_places(stages: str, parts: list[str]) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        _pipeline(stages, "raw")
    for part in parts:
        assert part in caught.value.message
    assert caught.value.place is not None
    assert caught.value.place.line > 0


def test_a_stage_file_inside_an_output_is_refused() -> None:
    inner = parse_pipeline_file(b"stages: {i: {cmd: x}}", ProjectPath("d/sub/dvc.yaml"))
    outer = parse_pipeline_file(b"stages: {o: {cmd: x, outs: [../d]}}", ProjectPath("beside/dvc.yaml"))
    with pytest.raises(PipelineInvalid, match=r"'d/sub/dvc\.yaml'"):
        build_pipeline([*inner, *outer], [])


def test_a_file_inside_an_output_declared_above_is_never_met() -> None:
    hidden = parse_pipeline_file(b"stages: {h: {cmd: x, outs: [../e]}}", ProjectPath("d/dvc.yaml"))
    seen = parse_pipeline_file(b"stages: {s: {cmd: x}}", ProjectPath("e/dvc.yaml"))
    outer = parse_pipeline_file(b"stages: {o: {cmd: x, outs: [d]}}", ProjectPath("dvc.yaml"))
    assert list(build_pipeline([*hidden, *seen, *outer], []).stages) == ["e/dvc.yaml:s", "o"]


def test_a_cycle_of_ten_thousand_stages_is_found_without_recursion() -> None:
    count = 10_000
    lines = [f"  s{n}: {{cmd: x, deps: [o{(n + 1) % count}], outs: [o{n}]}}\n" for n in range(count)]
    with pytest.raises(PipelineInvalid, match="circle"):
        _pipeline("".join(lines))


_EDGES = st.integers(1, 12).flatmap(
    lambda count: st.tuples(
        st.permutations(range(count)),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=30),
    )
)


@given(_EDGES)
def test_the_order_puts_every_stage_after_what_it_reads(
    drawn: tuple[list[int], list[tuple[int, int]]],
) -> None:
    order, pairs = drawn
    deps: dict[int, list[str]] = {number: [] for number in order}
    for one, other in pairs:
        if one != other:
            deps[max(one, other)].append(f"o{min(one, other)}")
    lines = [f"  s{n}: {{cmd: x, deps: [{', '.join(deps[n])}], outs: [o{n}]}}\n" for n in order]
    pipeline = _pipeline("".join(lines))
    planned = topological_order(pipeline)
    assert sorted(planned) == sorted(pipeline.stages)
    for name in planned:
        assert all(planned.index(other) < planned.index(name) for other in pipeline.upstream[name])


def test_a_frozen_stage_is_not_walked_through() -> None:
    pipeline = _pipeline(
        "  c: {cmd: x, deps: [b]}\n  b: {cmd: x, deps: [a], outs: [b], frozen: true}\n  a: {cmd: x, outs: [a]}\n"
    )
    assert pipeline.upstream[StageName("b")] == ("a",)
    assert active_upstream(pipeline, StageName("b")) == ()
    assert select_stages(pipeline, ["c"], ROOT) == ("b", "c")


def test_targets_are_read_as_seen_from_the_working_folder() -> None:
    root = parse_pipeline_file(b"stages: {r: {cmd: x, outs: [o]}}", ProjectPath("dvc.yaml"))
    sub = parse_pipeline_file(b"stages: {s: {cmd: x, deps: [../o]}}", ProjectPath("sub/dvc.yaml"))
    pipeline = build_pipeline([*root, *sub], [])
    folder = ProjectPath("sub")
    assert select_stages(pipeline, [], folder) == ("r", "sub/dvc.yaml:s")
    assert select_stages(pipeline, ["s"], folder) == ("r", "sub/dvc.yaml:s")
    assert select_stages(pipeline, ["../dvc.yaml:r"], folder) == ("r",)
    assert select_stages(pipeline, ["../dvc.yaml"], folder) == ("r",)


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("trian", "Did you mean 'train'?"),
        ("model", "It is an output of 'train': name the stage."),
        ("dvc.lock:train", "Did you mean 'dvc.yaml:train'?"),
        ("dat.dvc", "Did you mean 'data.dvc'?"),
        ("sub/dvc.yaml:train", ""),
        ("../x.dvc", ""),
        ("train@1", "Did you mean 'train'?"),
    ],
)
def test_an_unknown_target_is_refused_with_a_hint(target: str, hint: str) -> None:
    pipeline = _pipeline("  train: {cmd: x, deps: [data], outs: [model]}\n", "data")
    with pytest.raises(StageUnknown) as caught:
        select_stages(pipeline, [target], ROOT)
    assert caught.value.hint == hint


def test_without_targets_and_without_stages_there_is_nothing_to_do() -> None:
    with pytest.raises(PipelineInvalid, match=r"sub/dvc\.yaml"):
        select_stages(_pipeline("  a: {cmd: x}\n"), [], ProjectPath("sub"))
