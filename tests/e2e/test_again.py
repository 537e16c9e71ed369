"""Runs out of something else than the folder as it stands: an earlier run once more, and a commit."""

from collections.abc import Callable

import pytest

from tests.e2e.harness import Project, git, states

_FILES = {
    "dvc.yaml": """
stages:
  first:
    cmd: cat source > one
    deps: [source]
    outs: [one]
  second:
    cmd: cat one > two; test ! -e fails
    deps: [one]
    outs: [two]
  third:
    cmd: cat source > three
    deps: [source]
    params: [lr]
    metrics: [three: {cache: false}]
""",
    "params.yaml": "lr: 1\n",
}


@pytest.fixture
def project(make_project: Callable[[dict[str, str]], Project], request: pytest.FixtureRequest) -> Project:
    return make_project({**_FILES, "source": f"{request.node.name}\n"})


def test_a_run_is_retried_as_it_was_submitted_from_any_stage(project: Project) -> None:
    run = project.repro("-S", "lr=2", "-n", "mine", "--no-run-cache")
    project.write({"source": "changed since\n", "params.yaml": "lr: 3\n"})
    again = project.wherry("retry", run["id"], "--json").expect(0).json()
    assert states(again) == dict.fromkeys(("first", "second", "third"), ("succeeded", "hit"))
    assert again["name"] != "mine"
    assert again["stages"][2]["params"] == {"params.yaml": {"lr": 2}}
    # What was changed here since is left alone.
    assert (project.root / "params.yaml").read_text() == "lr: 3\n"
    forced = project.wherry("retry", "mine", "--from", "first", "--json").expect(0).json()
    assert [stage["cache"] for stage in forced["stages"] if stage["name"] == "third"] == ["hit"]
    assert {stage["name"] for stage in forced["stages"] if stage["cache"] == "bypass"} == {"first", "second"}
    assert project.wherry("retry", "mine", "--from", "frist").expect(5).err.count("'first'") == 1


def test_a_commit_is_run_and_the_folder_is_left_as_it_is(project: Project) -> None:
    project.write({"params.yaml": "lr: 7\n", "fails": ""})
    before = git(project.root, "status", "--porcelain")
    run = project.wherry("repro", "--rev", "HEAD", "--json").expect(0).json()
    assert run["rev"] == git(project.root, "rev-parse", "HEAD").strip()
    assert (run["dirty"], run["project"]) == (False, "project")
    assert git(project.root, "status", "--porcelain") == before
    assert git(project.root, "worktree", "list").count("\n") == 1
    assert not (project.root / "three").exists()
    # It is the same project: a change of the folder alone is run on top of what is known of the commit.
    assert states(project.wherry("repro", "third", "--json").expect(0).json())["third"] == (
        "succeeded",
        "miss",
    )
    project.wherry("repro", "--rev", "--help-me", "--json").expect(5)
