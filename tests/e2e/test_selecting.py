"""Part of a pipeline: what is selected runs, what is not stands as it is."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import Project, states

Make = Callable[[dict[str, str]], Project]

CHAIN = """\
stages:
  a: {cmd: cp raw a, deps: [raw], outs: [a]}
  b: {cmd: cp a b, deps: [a], outs: [b]}
  c: {cmd: "cp b c; cp b note", deps: [b], outs: [c], metrics: [note: {cache: false}]}
  apart: {cmd: cp raw apart, deps: [raw], outs: [apart]}
"""
SUB = "stages:\n  s: {cmd: cat ../c ../note > s, deps: [../c, ../note], outs: [s]}\n"
FILES = {"dvc.yaml": CHAIN, "sub/dvc.yaml": SUB, "raw": "1\n"}


def test_what_is_not_selected_is_taken_as_it_was_recorded(make_project: Make) -> None:
    project = make_project(FILES)
    project.repro("-P")
    project.write({"raw": "2\n"})

    # `a` is outdated, but nobody asked for it: `b` is still what dvc.lock says it was made of.
    assert states(project.repro("-s", "b")) == {"b": ("succeeded", "hit")}
    assert set(states(project.repro("--downstream", "b"))) == {"b", "c", "sub/dvc.yaml:s"}
    assert states(project.repro("-s", "c", "-f")) == {"c": ("succeeded", "bypass")}
    # Whatever is connected with it; nothing connects `apart`.
    assert states(project.repro("-p", "sub/dvc.yaml")) == dict.fromkeys(
        ("a", "b", "c", "sub/dvc.yaml:s"), ("succeeded", "miss")
    )


def test_an_output_in_the_folder_goes_before_the_recorded_one(make_project: Make) -> None:
    project = make_project(FILES)
    project.repro("-P", "--pull", "all")
    (project.root / "a").unlink()
    project.write({"a": "mine\n"})

    run = project.repro("-s", "b", "--pull", "all")

    assert states(run) == {"b": ("succeeded", "miss")}
    assert (project.root / "b").read_text() == "mine\n"


def test_what_was_never_made_is_missed_by_name(make_project: Make) -> None:
    project = make_project(FILES)

    done = project.wherry("repro", "-s", "b")

    assert done.code == 6
    assert "a (dvc.yaml:3:3)" in done.err
    assert "select the stage that makes it" in done.err


def test_force_downstream_runs_what_reads_from_what_ran(make_project: Make) -> None:
    project = make_project(FILES)
    project.repro("-P")
    project.write({"dvc.yaml": CHAIN.replace("cp a b,", "cp  a b,")})

    again = project.repro("--force-downstream")

    assert states(again) == {
        "a": ("succeeded", "hit"),
        "b": ("succeeded", "miss"),
        "c": ("succeeded", "bypass"),
        "apart": ("succeeded", "hit"),
    }


def test_names_and_drawings_are_those_of_where_one_stands(make_project: Make, tmp_path: Path) -> None:
    project = make_project(FILES)
    here = Project(project.root / "sub", project.service)

    for arguments in (("--mermaid",), ("--dot", "s"), ("--md", "../dvc.yaml:b", "--full")):
        assert here.wherry("dag", *arguments).expect(0).out == here.dvc("dag", *arguments).expect(0).out
    assert here.wherry("dag", "../b").expect(0).out.splitlines() == [
        "../dvc.yaml:a",
        "  ../dvc.yaml:b  <- ../dvc.yaml:a",
    ]
    assert (
        here.wherry("dag", "--outs", "--dot").expect(0).out
        == here.dvc("dag", "--outs", "--dot").expect(0).out
    )
    assert here.wherry("dag", "nothing").code == 5
