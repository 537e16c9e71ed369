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


PIPELINE = """\
stages:
  prepare: {cmd: "mkdir d && tr a-z A-Z < raw > d/up && cp raw d/raw && chmod +x d/raw", deps: [raw], outs: [d]}
  train:
    cmd: [cat d/up > model, chmod +x model]
    deps: [d]
    params: [lr, size]
    outs: [model]
  score: {cmd: 'echo {\\"acc\\": 1} > m.json && cp model best', deps: [model], metrics: [m.json], outs: [best]}
"""
PARAMS = "lr: 0.1\nsize: 3\n"
STAGES = ("prepare", "train", "score")


def trust(project: Project) -> None:
    """Trust DVC's records in a clone."""
    settings = project.root / ".dvc/wherry.toml"
    settings.write_text(settings.read_text() + "[run_cache]\ntrust_dvc = true\n")


def sources(run: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {stage["name"]: stage["source"] for stage in run["stages"]}


def test_after_a_run_and_a_pull_dvc_repro_has_nothing_to_do(make_project: Make) -> None:
    project = make_project({"dvc.yaml": PIPELINE, "params.yaml": PARAMS, "raw": "from wherry\n"})
    first = project.repro()
    lock = (project.root / "dvc.lock").read_bytes()

    project.wherry("dvc-remote", "--write").expect(0)
    project.dvc("pull", "-q").expect(0)
    done = project.dvc("repro").expect(0)

    assert states(first) == dict.fromkeys(STAGES, ("succeeded", "miss"))
    assert "Running stage" not in done.out
    assert (project.root / "dvc.lock").read_bytes() == lock
    assert project.dvc("status", "--json").expect(0).json() == {}


def test_what_laptops_computed_is_used_where_it_is_trusted_only(make_project: Make, tmp_path: Path) -> None:
    laptop = make_project({"dvc.yaml": PIPELINE, "params.yaml": PARAMS, "raw": "from a laptop\n"})
    laptop.dvc("repro", "-q").expect(0)
    laptop.commit("results of the laptop")
    push(laptop, "--run-cache")
    lock = (laptop.root / "dvc.lock").read_bytes()
    with_lock = laptop.clone(tmp_path / "with lock", user="ben")
    without = laptop.clone(tmp_path / "without lock", user="cem")
    (without.root / "dvc.lock").unlink()
    for clone in (with_lock, without):
        trust(clone)
    wary = laptop.clone(tmp_path / "wary", user="dee")

    planned = without.wherry("status", "--json").expect(0).json()
    by_lock = with_lock.repro("--pull", "all")
    by_run_cache = without.repro("--pull", "all")
    why = without.wherry("why", "train", "--run", by_run_cache["id"]).expect(0)
    logs = without.wherry("logs", by_run_cache["id"], "train").expect(0)
    refused = wary.wherry("status", "--json").expect(0).json()

    assert sources(by_lock) == dict.fromkeys(STAGES, "dvc_lock")
    assert sources(by_run_cache) == sources(planned) == dict.fromkeys(STAGES, "dvc_run_cache")
    assert states(by_lock) == states(by_run_cache) == dict.fromkeys(STAGES, ("succeeded", "hit"))
    assert [stage["decision"] for stage in refused["stages"]] == ["run", "waits", "waits"]
    for clone in (with_lock, without):
        assert (clone.root / "dvc.lock").read_bytes() == lock
        for name in ("d/up", "d/raw", "model", "m.json", "best"):
            assert (clone.root / name).read_bytes() == (laptop.root / name).read_bytes()
        assert clone.wherry("status", "--dvc", "--json").expect(0).json() == {}
    assert "DVC's run cache" in why.out
    assert "DVC's run cache" in logs.out


def test_dvcs_blindness_for_parameters_named_size_is_not_inherited(
    make_project: Make, tmp_path: Path
) -> None:
    laptop = make_project({"dvc.yaml": PIPELINE, "params.yaml": PARAMS, "raw": "sized\n"})
    laptop.dvc("repro", "-q").expect(0)
    laptop.commit("results of the laptop")
    push(laptop, "--run-cache")
    clone = laptop.clone(tmp_path / "clone", user="ben")
    trust(clone)
    clone.write({"params.yaml": PARAMS.replace("3", "4")})

    run = clone.repro()

    assert states(run)["prepare"] == ("succeeded", "hit")
    assert states(run)["train"] == ("succeeded", "miss")
