"""What can go is what stands on successes only, in whatever order they come, and go again."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from wherry.service.domain.dvc.graph import active_upstream, build_pipeline
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import Pipeline, StageName
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.waiting import WaitingStages

STAGES = 7


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Stage n reads from some of those before it; some are frozen."""
    lines = ["stages:"]
    for number in range(STAGES):
        deps = [f"o{before}" for before in range(number) if draw(st.booleans())]
        frozen = draw(st.sampled_from(["", ", frozen: true"]))
        lines.append(f"  s{number}: {{cmd: x, deps: [{', '.join(deps)}], outs: [o{number}]{frozen}}}")
    return build_pipeline(parse_pipeline_file("\n".join(lines).encode(), ProjectPath("dvc.yaml")), [])


def ready_by_looking(
    pipeline: Pipeline, succeeded: Mapping[StageName, bool], waiting: set[StageName]
) -> set[StageName]:
    return {
        name
        for name in waiting
        if all(succeeded[before] for before in active_upstream(pipeline, name) if before in succeeded)
    }


@given(
    pipeline=pipelines(),
    chosen=st.sets(st.integers(0, STAGES - 1), min_size=1),
    begun=st.sets(st.integers(0, STAGES - 1)),
    moves=st.lists(
        st.tuples(st.integers(0, STAGES - 1), st.sampled_from(["done", "undone", "wait"])), max_size=30
    ),
)
def test_the_count_finds_what_looking_at_all_stages_finds(
    pipeline: Pipeline, chosen: set[int], begun: set[int], moves: list[tuple[int, str]]
) -> None:
    names = [StageName(f"s{number}") for number in sorted(chosen)]
    succeeded = {name: int(name[1:]) in begun for name in names}
    waiting = {name for name in names if not succeeded[name]}
    stages = WaitingStages(
        pipeline,
        names,
        waiting=[pipeline.stages[name] for name in names if name in waiting],
        has_succeeded=succeeded.__getitem__,
    )
    for number, move in moves:
        name = names[number % len(names)]
        if move == "wait":
            waiting.add(name)
            stages.add(pipeline.stages[name])
        else:
            succeeded[name] = move == "done"
            stages.note(name, has_succeeded=succeeded[name])
        expected = ready_by_looking(pipeline, succeeded, waiting)
        if number % 2:
            taken = stages.take_ready()
            assert {stage.name for stage in taken} == expected
            assert len(taken) == len(expected)
            waiting -= expected
        assert {stage.name for stage in stages} == waiting
