"""`wherry dag` draws what `dvc dag` draws."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conformance.groups import GROUPS, expanded_groups
from tests.conformance.harness import Case, make_project, read_pipeline
from tests.conformance.questions import ask_dag
from wherry.client.drawing import (
    collapsed,
    dot_text,
    markdown_text,
    mermaid_text,
    outputs_drawing,
    stages_drawing,
)
from wherry.service.domain.dvc.stage import Pipeline
from wherry.service.domain.errors import StageUnknown
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import Snapshot
from wherry.service.domain.submission import Submission
from wherry.service.rpc.convert_pipelines import pipeline_to
from wherry.service.usecases.describe_pipeline import describe

# One file only, so that DVC's order is that of the file and not that of a folder's listing.
_ONE = Case(
    name="one",
    files={
        "dvc.yaml": """\
stages:
  z: {cmd: x, deps: [lib/a], outs: [z], metrics: [m.json]}
  Frozen: {cmd: x, deps: [z], outs: [out/f, out/g], frozen: true}
  a_b-c: {cmd: x, deps: [raw], outs: [lib/a, b c.txt, "é"]}
  reader: {cmd: x, deps: [out, m.json], params: [p.json: [k]]}
  params: {cmd: x, outs: [p.json, lib/sub/p]}
  no_outs: {cmd: x, deps: [lib/sub/p/inner]}
  alone: {cmd: x}
  alone2: {cmd: x, outs: [alone2]}
""",
    },
)
_NESTED = Case(
    name="nested",
    files={
        "data/x": "1\n",
        "dvc.yaml": """\
stages:
  b: {cmd: x, deps: [data/x], outs: [b]}
  d: {cmd: x, deps: [c], outs: [d]}
  c: {cmd: x, deps: [b, sub/s], outs: [c]}
  other: {cmd: x, outs: [other]}
""",
        "sub/dvc.yaml": """\
stages:
  s: {cmd: x, deps: [../b], outs: [s]}
  t: {cmd: x, deps: [s], outs: [t, dir/u]}
  other: {cmd: x, deps: [../other]}
""",
    },
    added=("data/x",),
)

_Question = tuple[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {case.name: tmp_path_factory.mktemp("dag") / case.name for case in (_ONE, _NESTED)}
    for case in (_ONE, _NESTED):
        make_project(folders[case.name], case)
    return folders


def draw(pipeline: Pipeline, question: _Question) -> str | None:
    folder, arguments = question
    submission = Submission(
        project="p",
        user="ana",
        snapshot=Snapshot(files={}, data={}),
        working_folder=ProjectPath(folder),
        targets=tuple(word for word in arguments if not word.startswith("--")),
    )
    outs = "--outs" in arguments
    try:
        shown = describe(pipeline, (), submission, full="--full" in arguments, outputs=outs)
    except StageUnknown:
        return None
    message = pipeline_to(shown)
    drawing = outputs_drawing(message, "" if folder == "." else folder) if outs else stages_drawing(message)
    if "--collapse-foreach-matrix" in arguments:
        drawing = collapsed(drawing)
    if "--dot" in arguments:
        return dot_text(drawing) + "\n"
    return (markdown_text if "--md" in arguments else mermaid_text)(drawing) + "\n"


def _differences(
    root: Path, questions: Sequence[_Question], *, is_sorted: bool = False, pipeline: Pipeline | None = None
) -> list[str]:
    """With `is_sorted`, the order of parts and the numbers that follow from it do not count."""
    pipeline = pipeline or read_pipeline(root)
    wrong = []
    for question, expected in zip(questions, ask_dag(root, questions), strict=True):
        drawn = draw(pipeline, question)
        texts = [text and _by_names(text) if is_sorted else text for text in (expected, drawn)]
        if texts[0] != texts[1]:
            wrong.append(f"{question}:\nDVC\n{expected}\nwe\n{drawn}")
    return wrong


def _by_names(text: str) -> str:
    names = dict(re.findall(r'^\t(node\d+)\["(.*)"\]$', text, re.MULTILINE))
    lines = re.sub(r"node\d+", lambda found: names[found.group()], text).splitlines()
    return "\n".join(sorted(lines))


_FORMS = (("--dot",), ("--mermaid",), ("--md",))
_TARGETS: tuple[tuple[str, ...], ...] = (
    *((), ("z",), ("reader",), ("alone",), ("no_outs",), (":z",), ("dvc.yaml",), ("dvc.yaml:params",)),
    *(("out/f",), ("out/f/inner",), ("m.json",), ("b c.txt",), ("nothing",), ("out",), ("none/dvc.yaml",)),
)


def test_drawings_of_one_file_are_those_of_dvc_to_the_byte(folders: dict[str, Path]) -> None:
    questions: list[_Question] = [
        (".", (*form, *full, *target)) for form in _FORMS for full in ((), ("--full",)) for target in _TARGETS
    ]
    assert _differences(folders["one"], questions) == []


def test_drawings_of_outputs_are_those_of_dvc_to_the_byte(folders: dict[str, Path]) -> None:
    # A target that is an output makes DVC 3.67 stop with an error of its own.
    targets = ((), ("z",), ("reader",), ("params",), ("Frozen",), ("alone",), ("dvc.yaml",), ("nothing",))
    questions: list[_Question] = [
        (".", ("--outs", *form, *full, *target))
        for form in _FORMS
        for full in ((), ("--full",))
        for target in targets
    ]
    assert _differences(folders["one"], questions) == []


@pytest.mark.parametrize("folder", [".", "sub"])
def test_names_are_those_of_dvc_from_wherever_one_looks(folders: dict[str, Path], folder: str) -> None:
    targets: tuple[tuple[str, ...], ...] = (
        *((), ("other",), ("t",), ("sub/dvc.yaml",), ("../dvc.yaml:d",), ("data/x.dvc",), ("data/x",)),
        *(("../data/x",), ("d",), ("s",), ("dvc.yaml:other",), ("dir/u",), ("sub/dir/u",)),
    )
    questions: list[_Question] = [
        (folder, (*form, *flags, *target))
        for form in (("--dot",), ("--mermaid",))
        for flags in ((), ("--full",))
        for target in targets
    ]
    questions += [(folder, ("--outs", "--mermaid")), (folder, ("--outs", "--dot", "--full"))]
    assert _differences(folders["nested"], questions, is_sorted=True) == []


def test_groups_collapse_as_they_do_in_dvc(tmp_path: Path) -> None:
    folder = tmp_path / "groups"
    make_project(folder, GROUPS)
    questions: list[_Question] = [
        (".", (*form, *flags, *target))
        for form in (("--dot",), ("--mermaid",))
        for flags in (("--collapse-foreach-matrix",), ("--collapse-foreach-matrix", "--full"), ())
        for target in ((), ("train",), ("grid@x-1",), ("after",), ("t2",), ("train@z",))
    ]
    assert _differences(folder, questions, is_sorted=True, pipeline=expanded_groups()) == []


def test_an_output_as_target_of_a_drawing_of_outputs_stands_for_itself(folders: dict[str, Path]) -> None:
    pipeline = read_pipeline(folders["one"])
    text = draw(pipeline, (".", ("--outs", "--mermaid", "out/g")))
    assert text is not None
    assert re.findall(r'\["(.*)"\]', text) == ["lib/a", "out/g", "z"]
