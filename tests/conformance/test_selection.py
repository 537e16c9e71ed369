"""Targets and flags choose what `dvc repro` would go through, in an order that it could take."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.conformance.groups import GROUPS, expanded_groups
from tests.conformance.harness import Case, make_project, read_pipeline
from tests.conformance.questions import Planned, ReproQuestion, ask_repro
from wherry.service.domain.dvc.addresses import address_from
from wherry.service.domain.dvc.graph import active_upstream
from wherry.service.domain.dvc.stage import Pipeline, StageName
from wherry.service.domain.dvc.targets import select_stages
from wherry.service.domain.errors import WherryError
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.snapshot import Snapshot
from wherry.service.domain.submission import Selection, Submission
from wherry.service.usecases.force_downstream import is_forced
from wherry.service.usecases.read_project import Project

_FLAGS = {
    "glob": "glob",
    "recursive": "recursive",
    "single_item": "single_item",
    "pipeline": "whole_pipelines",
    "all_pipelines": "all_pipelines",
    "downstream": "downstream",
}

_NESTED = Case(
    name="nested",
    files={
        "data/x": "1\n",
        "data/y": "2\n",
        "dvc.yaml": """\
stages:
  d: {cmd: cp c d, deps: [c], outs: [d]}
  b: {cmd: cp data/x b, deps: [data/x], outs: [b]}
  c: {cmd: cp b c, deps: [b, sub/s], outs: [c]}
  frozen: {cmd: cp c f, deps: [c], outs: [f], frozen: true}
  after: {cmd: cp f a, deps: [f], outs: [a]}
  other: {cmd: cp data/y other, deps: [data/y], outs: [other]}
  train-1: {cmd: cp other t1, deps: [other], outs: [t1]}
  train-2: {cmd: cp t1 t2, deps: [t1], outs: [t2]}
  alone: {cmd: touch alone, outs: [alone]}
""",
        "sub/dvc.yaml": """\
stages:
  s: {cmd: cp ../b s, deps: [../b], outs: [s]}
  t: {cmd: cp s t, deps: [s], outs: [t]}
""",
        "sub/deep/dvc.yaml": "stages:\n  b: {cmd: cp ../t b, deps: [../t], outs: [b]}\n",
        "empty/dvc.yaml": "stages: {}\n",
        "plain/readme": "nothing\n",
    },
    added=("data/x", "data/y"),
)

_TARGETS = [
    *[(), ("d",), ("b", "other"), (":c",), ("dvc.yaml:other",), ("dvc.yaml",), ("./dvc.yaml:b",)],
    *[("sub/dvc.yaml",), ("sub/dvc.yaml:t",), ("sub/../dvc.yaml:b",), ("sub/deep/dvc.yaml:b", "d")],
    *[("data/x.dvc",), ("data/x.dvc:name",), ("data/y.dvc", "sub/dvc.yaml:s"), ("after",), ("frozen",)],
    *[("empty/dvc.yaml",), ("train-*",), ("[ab]*",), ("sub/dvc.yaml:[st]",), ("nothing-*",), ("*.dvc",)],
    *[("sub",), ("sub/deep",), ("data",), ("plain",), (".",), ("",), (":",), ("@x",), ("alone",)],
    # Refused, but for some flags.
    *[("nothing",), ("c@1",), ("train",), ("b@",), ("dvc.lock",), ("sub/dvc.lock:s",), ("sub/dvc.yaml:b",)],
    *[("dvc.yml",), ("dvc.yaml:",), ("data/x",), ("other.dvc",), ("none/dvc.yaml",), ("d", "nothing")],
    *[("../dvc.yaml",), ("sub:t",), ("a:b:c",), ("sub/dvc.yaml:t:",), ("dvc.yaml:d@",), ("d\\x",)],
]
# How a target is read does not depend on the other flags: with them a few are enough.
_FEW = [
    *[(), ("d",), ("b", "other"), ("sub/dvc.yaml",), ("data/x.dvc", "alone"), ("after",), ("frozen",)],
    *[
        ("empty/dvc.yaml",),
        ("train-*",),
        ("[ab]*",),
        ("sub",),
        ("sub/deep",),
        ("data",),
        ("plain",),
        (".",),
        ("",),
        ("nothing",),
    ],
]
_FLAG_SETS: list[tuple[str, ...]] = [
    (),
    ("glob",),
    ("recursive",),
    ("single_item",),
    ("pipeline",),
    ("all_pipelines",),
    ("downstream",),
    ("recursive", "single_item"),
    ("recursive", "downstream"),
    ("glob", "pipeline"),
    ("glob", "downstream"),
    ("pipeline", "single_item", "downstream"),
]
_FROM_SUB = [
    (),
    ("s",),
    ("../dvc.yaml",),
    ("../dvc.yaml:c",),
    ("deep/dvc.yaml:b",),
    ("deep",),
    ("..",),
    ("b",),
]


def _questions() -> Iterator[ReproQuestion]:
    for flags in _FLAG_SETS:
        for targets in _TARGETS if flags in {(), ("glob",)} else _FEW:
            yield ReproQuestion(targets, flags)
        for targets in _FROM_SUB if len(flags) < 2 else ():
            yield ReproQuestion(targets, flags, folder="sub")
        yield ReproQuestion((), flags, folder="plain")
        yield ReproQuestion((), flags, folder="empty")


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selection") / "nested"
    make_project(folder, _NESTED)
    return folder


def _files(root: Path) -> list[ProjectPath]:
    files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    return [ProjectPath(path) for path in files if not path.startswith((".git/", ".dvc/"))]


def _ours(
    pipeline: Pipeline, question: ReproQuestion, files: list[ProjectPath]
) -> tuple[StageName, ...] | None:
    selection = Selection(**{_FLAGS[flag]: True for flag in question.flags if flag in _FLAGS})
    try:
        return select_stages(pipeline, question.targets, ProjectPath(question.folder), selection, files=files)
    except WherryError:
        return None


def _differences(
    root: Path,
    questions: Sequence[ReproQuestion],
    answers: Sequence[list[Planned] | None],
    pipeline: Pipeline | None = None,
) -> list[str]:
    pipeline, files = pipeline or read_pipeline(root), _files(root)
    wrong = []
    for question, planned in zip(questions, answers, strict=True):
        chosen = _ours(pipeline, question, files)
        theirs = None if planned is None else [stage.address for stage in planned]
        folder = ProjectPath(question.folder)
        ours = None if chosen is None else [address_from(pipeline, name, folder) for name in chosen]
        if (None if theirs is None else sorted(theirs)) != (None if ours is None else sorted(ours)):
            wrong.append(f"{question}: DVC takes {theirs}, we {ours}")
        elif chosen is not None and not _is_ordered(pipeline, chosen):
            wrong.append(f"{question}: {ours} is no order")
        elif "all_pipelines" in question.flags and theirs != ours:
            wrong.append(f"{question}: DVC's order is {theirs}, ours {ours}")
    return wrong


def _is_ordered(pipeline: Pipeline, chosen: Sequence[StageName]) -> bool:
    place = {name: number for number, name in enumerate(chosen)}
    return all(
        place[before] < place[name]
        for name in chosen
        for before in active_upstream(pipeline, name)
        if before in place
    )


# All of them at once take long enough to reach the time limit on a busy machine.
@pytest.mark.parametrize("part", range(4))
def test_targets_and_flags_choose_what_dvc_goes_through_or_are_refused_as_there(
    nested: Path, part: int
) -> None:
    questions = list(_questions())[part::4]
    answers = ask_repro(nested, questions)
    assert sum(answer is None for answer in answers) > 12
    assert sum(answer is not None for answer in answers) > 40
    assert _differences(nested, questions, answers) == []


def test_the_name_of_a_group_stands_for_its_stages(tmp_path: Path) -> None:
    folder = tmp_path / "groups"
    make_project(folder, GROUPS)
    targets = [
        *[("train",), ("train@a",), ("train@b:c/d",), (":train@a",), ("dvc.yaml:train",), ("grid",)],
        *[
            ("grid@x-1",),
            ("train@*",),
            ("train@[ab]",),
            ("tr*",),
            ("*@a",),
            ("train@",),
            ("train@z",),
            ("trai",),
        ],
        *[("after@1",), ("grid@x",), ("dvc.yaml:grid@x-2",)],
    ]
    questions = [ReproQuestion(one, flags) for flags in [(), ("glob",), ("downstream",)] for one in targets]
    answers = ask_repro(folder, questions)
    assert sum(answer is None for answer in answers) > 10
    assert _differences(folder, questions, answers, expanded_groups()) == []


@st.composite
def _projects(draw: st.DrawFn) -> tuple[str, list[ReproQuestion]]:
    """Stages that read from earlier ones, in a drawn order, some frozen; and what to ask of them."""
    count = draw(st.integers(2, 12))
    names = [f"s{number}" for number in range(count)]
    lines = []
    for number, name in enumerate(names):
        earlier = st.sampled_from(names[:number]) if number else st.nothing()
        deps = sorted(draw(st.sets(earlier, max_size=3))) if number else []
        frozen = ", frozen: true" if draw(st.integers(0, 6)) == 0 else ""
        lines.append(f"  {name}: {{cmd: x, deps: [{', '.join(deps)}], outs: [{name}]{frozen}}}\n")
    order = draw(st.permutations(lines))
    flags = st.sampled_from(
        [(), ("single_item",), ("pipeline",), ("all_pipelines",), ("downstream",), ("downstream", "pipeline")]
    )
    targets = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True).map(tuple)
    asked = draw(st.lists(st.tuples(targets, flags), min_size=4, max_size=8))
    return "stages:\n" + "".join(order), [ReproQuestion(one, chosen) for one, chosen in asked]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selection") / "drawn"
    make_project(folder, Case(name="drawn", files={"dvc.yaml": "stages: {}\n"}))
    return folder


@seed(20)
@settings(
    max_examples=4, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(project=_projects())
def test_random_graphs_are_cut_as_dvc_cuts_them(
    drawn: Path, project: tuple[str, list[ReproQuestion]]
) -> None:
    text, questions = project
    (drawn / "dvc.yaml").write_text(text, encoding="utf-8")
    assert _differences(drawn, questions, ask_repro(drawn, questions)) == [], text


def test_what_reads_from_a_renewed_stage_is_forced_as_dvc_forces_it(nested: Path) -> None:
    pipeline = read_pipeline(nested)
    project = _forcing(pipeline)
    chance = random.Random(7)
    questions = [
        ReproQuestion((), ("all_pipelines", "force_downstream"), ran=tuple(chance.sample(names, 2)))
        for names in [list(pipeline.stages)] * 20
    ]
    for question, answer in zip(questions, ask_repro(nested, questions), strict=True):
        renewed, forced = set[StageName](), set[str]()
        for stage in project.stages:
            if is_forced(project, stage, renewed):
                forced.add(stage.name)
            if stage.name in question.ran or stage.name in forced:
                renewed.add(stage.name)
        assert forced == {stage.address for stage in answer or () if stage.forced}


def _forcing(pipeline: Pipeline) -> Project:
    selection = Selection(all_pipelines=True, force_downstream=True)
    snapshot = Snapshot(files={}, data={})
    return Project(
        submission=Submission(project="p", user="ana", snapshot=snapshot, selection=selection),
        snapshot=snapshot,
        changed_params={},
        pipeline=pipeline,
        selected=select_stages(pipeline, (), ROOT, selection),
        settings={},
        locks={},
    )
