"""Between laptops with stock DVC and the service, over the bucket, in both directions."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import Project, states

Make = Callable[[dict[str, str]], Project]


def push(project: Project, *args: str) -> None:
    """Push as a laptop does, to the service's bucket."""
    project.wherry("dvc-remote", "--write").expect(0)
    project.dvc("push", "-q", *args).expect(0)


def test_a_bare_clone_runs_on_data_that_a_laptop_pushed_with_dvc(make_project: Make, tmp_path: Path) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  use: {cmd: cat one many/*/* > out, deps: [one, many], outs: [out]}\n"}
    )
    project.write({"one": "pushed\n", "many/a/x": "x\n", "many/b/y": "y\n"})
    project.dvc("add", "-q", "one", "many").expect(0)
    project.commit("data")
    clone = project.clone(tmp_path / "bare", user="ben")

    before = clone.wherry("repro").expect(6)
    push(project, "one.dvc")
    between = clone.wherry("repro").expect(6)
    push(project)
    run = clone.repro("--pull", "all")

    assert "one (one.dvc" in before.err
    assert "many (many.dvc" in before.err
    assert "one (one.dvc" not in between.err
    assert "many (many.dvc" in between.err
    assert states(run) == {"use": ("succeeded", "miss")}
    assert (clone.root / "out").read_text() == "pushed\nx\ny\n"
    assert not (clone.root / "one").exists()


def test_a_frozen_stage_stands_on_outputs_that_a_laptop_pushed(make_project: Make, tmp_path: Path) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n"
            "  old: {cmd: tr a-z A-Z < a > old, deps: [a], outs: [old]}\n"
            "  use: {cmd: cp old out, deps: [old], outs: [out]}\n",
            "a": "frozen by a laptop\n",
        }
    )
    project.dvc("repro", "-q", "old").expect(0)
    project.dvc("freeze", "old").expect(0)
    project.commit("lock")
    clone = project.clone(tmp_path / "bare", user="ben")

    before = clone.wherry("status", "--json").expect(0).json()
    push(project, "old")
    planned = clone.wherry("status", "--json").expect(0).json()
    run = clone.repro()

    assert [stage["decision"] for stage in before["stages"]] == ["invalid", "waits"]
    assert [stage["decision"] for stage in planned["stages"]] == ["frozen", "run"]
    assert states(run) == {"old": ("succeeded", "hit"), "use": ("succeeded", "miss")}


def test_status_as_dvc_counts_what_a_laptop_pushed(make_project: Make, tmp_path: Path) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n  use: {cmd: tr a-z A-Z < one > out, deps: [one], outs: [out]}\n",
            "one": "status\n",
        }
    )
    project.dvc("repro", "-q").expect(0)
    project.commit("lock")
    clone = project.clone(tmp_path / "bare", user="ben")

    before = clone.wherry("status", "--dvc", "--json").expect(0).json()
    push(project)

    assert before == {"use": [{"changed outs": {"out": "deleted"}}]}
    assert clone.wherry("status", "--dvc", "--json").expect(0).json() == {}
