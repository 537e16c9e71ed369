"""`wherry why` and `wherry status --dvc` through the real service: what a user changed is what is named."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.harness import STAGE_IMAGE, Project, states

MakeProject = Callable[[dict[str, str]], Project]

_FILES = {
    "dvc.yaml": (
        "stages:\n"
        "  train: {cmd: 'echo $((6 * 7)) > model', params: [train.lr], outs: [model]}\n"
        "  test: {cmd: cp model score, deps: [model], outs: [score]}\n"
    ),
    "params.yaml": "train: {lr: 0.1, why: parameter}\n",
}


@pytest.fixture
def other_image() -> Iterator[str]:
    """The base image with a label: another digest."""
    name = "wherry/base:why"
    client = docker.from_env()
    try:
        container = client.containers.create(STAGE_IMAGE, ["true"])
        container.commit("wherry/base", "why", changes='LABEL wherry.test="why"')
        container.remove()
        yield name
        client.images.remove(name)
    finally:
        client.close()


def test_a_changed_param_and_the_stage_that_waits_for_it_are_named(make_project: MakeProject) -> None:
    project = make_project(_FILES)
    first = project.repro()
    project.write({"params.yaml": "train: {lr: 0.05, why: parameter}\n"})

    answer = project.wherry("why", "train", "--json").expect(0).json()
    waits = project.wherry("why", "test").expect(0).out
    status = project.wherry("status", "--json").expect(0).json()

    assert answer["schema"] == "wherry.why/1"
    assert (answer["decision"], answer["nearest"]["run"]) == ("run", first["id"])
    named = [(item["part"], item["name"], item["before"], item["after"]) for item in answer["differences"]]
    assert named == [("parameter", "params.yaml:train.lr", "0.1", "0.05")]
    assert "train has to run first: params.yaml: train.lr 0.1 -> 0.05" in waits
    assert status["stages"][0]["reasons"] == ["params.yaml: train.lr 0.1 -> 0.05"]

    second = project.repro()
    assert states(second)["train"] == ("succeeded", "miss")
    then = project.wherry("why", "train", "--run", second["id"], "--json").expect(0).json()
    assert (then["differences"], then["nearest"]["run"]) == (answer["differences"], first["id"])
    now = project.wherry("why", "train", "--json").expect(0).json()
    assert (now["decision"], now["origin"]["run"]) == ("hit", second["id"])
    project.wherry("why", "trian", "--run", second["id"]).expect(5)


def test_a_changed_image_is_named(make_project: MakeProject, other_image: str) -> None:
    project = make_project({"params.yaml": "train: {lr: image}\n", "dvc.yaml": _FILES["dvc.yaml"]})
    project.repro()
    settings = f'[defaults]\nimage = "{other_image}"\nenv = {{ SECRET = "do-not-tell" }}\n'
    project.write({".dvc/wherry.toml": settings})

    finished = project.wherry("why", "train", "--json").expect(0)

    differences = finished.json()["differences"]
    assert [item["part"] for item in differences] == ["image", "environment"]
    assert differences[0]["before"] != differences[0]["after"]
    assert differences[1]["text"] == "environment: SECRET added"
    assert "do-not-tell" not in finished.out + finished.err


def test_what_was_decided_in_a_run_is_explained_from_its_records(make_project: MakeProject) -> None:
    stages = "stages: {train: {cmd: 'grep good flag > decided', deps: [flag], outs: [decided]}}\n"
    project = make_project({"dvc.yaml": stages, "flag": "good\n"})
    first = project.repro()
    again, forced = project.repro(), project.repro("--force")
    project.write({"flag": "bad\n"})
    failed = project.wherry("repro", "--json").expect(1).json()

    def then(run_json: Any) -> Any:
        return project.wherry("why", "train", "--run", run_json["id"], "--json").expect(0).json()

    # Nothing older is known; --force replaced the result itself, not the record of the run.
    assert (then(first)["decision"], then(first)["nearest"]) == ("run", None)
    assert (then(again)["decision"], then(again)["origin"]["run"]) == ("hit", first["id"])
    assert "--force" in then(forced)["reasons"][0]
    why_failed = then(failed)
    assert [(item["part"], item["name"]) for item in why_failed["differences"]] == [("dependency", "flag")]
    assert why_failed["nearest"]["run"] == forced["id"]


def test_one_stage_is_explained_at_a_time(make_project: MakeProject) -> None:
    stages = "stages: {a: {cmd: echo > a, outs: [a]}, b: {cmd: echo > b, outs: [b]}}\n"
    project = make_project({"dvc.yaml": stages})

    several = project.wherry("why", "dvc.yaml").expect(6).err

    assert "'dvc.yaml' stands for 2 stages" in several
    assert "has no inputs that say when it is outdated" in project.wherry("why", "a").expect(0).out


def test_the_status_of_dvc_is_told_by_the_service_too(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(
        {
            # No other test has these contents, so the store does not hold them.
            "dvc.yaml": _FILES["dvc.yaml"].replace("6 * 7", "6 * 7777"),
            "params.yaml": "train: {lr: status}\n",
            "sub/dvc.yaml": "stages: {s: {cmd: cat ../data/x ../data/x > s, deps: [../data], outs: [s]}}\n",
            "data/x": "in no other test\n",
        }
    )
    project.write({"data/raw": "raw\n"})
    project.dvc("add", "-q", "data/raw").expect(0)
    project.dvc("repro", "-P", "-q").expect(0)
    _expect_same_status(project)

    project.write({"params.yaml": "train: {lr: other}\n", "data/raw": "changed\n", "score": "7\n"})
    (project.root / "model").unlink()
    _expect_same_status(project)
    assert project.wherry("status", "--dvc", "-q").code == 1
    assert "lr" in project.wherry("status", "--dvc").expect(0).out

    project.commit("changed")
    clone = project.clone(tmp_path / "clone", user="ben")
    _expect_same_status(clone)


def test_a_clone_without_data_is_up_to_date_when_the_store_has_it(
    make_project: MakeProject, tmp_path: Path
) -> None:
    inside = "  use: {cmd: cp conf/p.yaml used, deps: [conf/p.yaml, conf], outs: [used]}\n"
    made = "  make: {cmd: 'mkdir conf && echo k > conf/p.yaml', params: [train.lr], outs: [conf]}\n"
    project = make_project(
        {"dvc.yaml": _FILES["dvc.yaml"] + made + inside, "params.yaml": "train: {lr: clone}\n"}
    )
    project.repro()
    project.commit("results")
    clone = project.clone(tmp_path / "clone", user="ben")

    assert clone.wherry("status", "--dvc", "--json").expect(0).json() == {}
    assert clone.wherry("status", "--dvc").expect(0).out == "Data and pipelines are up to date.\n"


def _expect_same_status(project: Project) -> None:
    for folder in (project.root, project.root / "sub", project.root / "data"):
        expected = Project(folder, project.service).dvc("status", "--json")
        found = project.service.wherry("status", "--dvc", "--json", cwd=folder)
        assert found.expect(0).json() == _without_cache(json.loads(expected.expect(0).out))


def _without_cache(document: dict[str, list[object]]) -> dict[str, list[object]]:
    """What DVC says when its cache is not looked at: recorded data that is nowhere is deleted."""
    text = json.dumps(document).replace("not in cache", "deleted")
    answer: dict[str, list[object]] = json.loads(text)
    return answer
