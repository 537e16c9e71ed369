"""The example, as `make demo` shows it: run, shared with a second user, changed by one param."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import REPOSITORY, Project, Service, git, run, states

STAGES = ["data_split", "train", "evaluate"]
CACHED = {"data/test_data", "data/train_data", "models/model.pkl"}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    root = tmp_path_factory.mktemp("ana") / "get-started"
    shutil.copytree(REPOSITORY / "examples" / "get-started", root)
    run([sys.executable, "make_pool_data.py"], cwd=root).expect(0)
    git(root, "init", "-q", "-b", "main")
    project = Project(root, service)
    project.commit("begin")
    return project


@pytest.fixture(scope="module")
def first_run(example: Project) -> Any:
    return example.repro()


def test_the_first_run_computes_every_stage(first_run: Any) -> None:
    assert [stage["name"] for stage in first_run["stages"]] == STAGES
    assert set(states(first_run).values()) == {("succeeded", "miss")}
    assert first_run["state"] == "succeeded"
    assert first_run["schema"] == "wherry.run/1"
    assert first_run["compute_s"] > 0


def test_metrics_and_plots_are_brought_back(example: Project, first_run: Any) -> None:
    metrics = json.loads((example.root / "results/evaluate/metrics.json").read_text())

    assert all(isinstance(value, float) for value in metrics.values())
    assert any((example.root / "results/train/plots").iterdir())
    assert not (example.root / "models/model.pkl").exists(), "cached outputs come only on request"


def test_a_second_user_in_another_clone_computes_nothing(
    example: Project, first_run: Any, tmp_path: Path
) -> None:
    example.commit("results")
    clone = example.clone(tmp_path / "elsewhere", user="ben")
    assert not (clone.root / "data/pool_data").exists()

    again = clone.repro()

    assert states(again) == dict.fromkeys(STAGES, ("succeeded", "hit"))
    assert {stage["from_run"] for stage in again["stages"]} == {first_run["id"]}
    assert again["user"] == "ben"
    assert again["saved_s"] == pytest.approx(first_run["compute_s"])
    assert git(clone.root, "status", "--porcelain") == ""


def test_a_changed_param_runs_only_what_stands_on_it(
    example: Project, first_run: Any, tmp_path: Path
) -> None:
    example.commit("results")
    clone = example.clone(tmp_path / "elsewhere", user="ben")

    changed = clone.repro("-S", "train.epochs=3")

    assert states(changed) == {
        "data_split": ("succeeded", "hit"),
        "train": ("succeeded", "miss"),
        "evaluate": ("succeeded", "miss"),
    }
    assert "epochs: 3" in (clone.root / "params.yaml").read_text()


def test_stock_dvc_reads_everything_from_the_bucket(example: Project, first_run: Any, tmp_path: Path) -> None:
    example.commit("results")
    clone = example.clone(tmp_path / "stock", user="ben")
    clone.wherry("dvc-remote", "--write").expect(0)

    clone.dvc("pull").expect(0)

    assert all((clone.root / path).exists() for path in (*CACHED, "data/pool_data"))
    assert clone.dvc("status", "--json").expect(0).json() == {}
    assert clone.dvc("status", "-c", "--json").expect(0).json() == {}


def test_stock_dvc_restores_from_the_run_cache_without_a_lock(
    example: Project, first_run: Any, tmp_path: Path
) -> None:
    example.commit("results")
    clone = example.clone(tmp_path / "stock", user="ben")
    clone.wherry("dvc-remote", "--write").expect(0)
    lock = (clone.root / "dvc.lock").read_bytes()
    (clone.root / "dvc.lock").unlink()

    # DVC exits 1 here, whoever wrote the bucket: without a lock it knows no hash of the outputs.
    clone.dvc("pull", "--run-cache").expect(1)
    # Metrics that are not cached are no part of any pull: DVC itself fetches them with --pull only.
    done = clone.dvc("repro", "--pull").expect(0)

    assert done.out.count("is cached - skipping run") == len(STAGES)
    assert "Running stage" not in done.out
    assert (clone.root / "dvc.lock").read_bytes() == lock


def test_pull_brings_outputs_and_tracked_data(example: Project, first_run: Any, tmp_path: Path) -> None:
    example.commit("results")
    clone = example.clone(tmp_path / "elsewhere", user="ben")

    clone.wherry("pull").expect(0)

    assert all((clone.root / path).exists() for path in (*CACHED, "data/pool_data"))
    clone.wherry("dvc-remote", "--write").expect(0)
    clone.dvc("diff", "--json").expect(0)


def test_show_and_ps_tell_of_the_run(example: Project, first_run: Any) -> None:
    shown = example.wherry("show", first_run["id"], "--json").expect(0).json()
    listed = example.wherry("ps", "--json").expect(0).json()

    assert shown == first_run
    assert first_run["id"] in [run["id"] for run in listed["runs"]]


def test_the_dag_is_that_of_dvc(example: Project) -> None:
    dag = example.wherry("dag", "--json").expect(0).json()

    assert dag["schema"] == "wherry.dag/1"
    assert sorted(map(tuple, dag["edges"])) == [
        ("data/pool_data.dvc", "data_split"),
        ("data_split", "evaluate"),
        ("data_split", "train"),
        ("train", "evaluate"),
    ]
