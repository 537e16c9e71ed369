"""`wherry exp run`: one run for each combination of parameters, and parameters composed by Hydra."""

from pathlib import Path

import pytest

from tests.e2e.harness import Project, Service, new_project, states

FILES = {
    "params.yaml": "lr: 0.1  # rate\nseed: 1\n",
    "conf/p.toml": "[model]\nsize = 10 # units\n",
    "in": "data\n",
    "dvc.yaml": """\
stages:
  prepare:
    cmd: cp in prepared
    deps: [in]
    params: [seed]
    outs: [prepared]
  train:
    cmd: cat params.yaml conf/p.toml > metrics.json
    deps: [prepared]
    params: ['l?', conf/p.toml: [model.size]]
    metrics: [{metrics.json: {cache: false}}]
""",
}


@pytest.fixture
def project(tmp_path: Path, service: Service) -> Project:
    return new_project(tmp_path / "project", service, FILES)


def test_a_sweep_makes_a_run_for_each_combination(project: Project) -> None:
    before = (project.root / "params.yaml").read_text()
    changes = ("-S", "lr=0.5,0.25", "-S", "conf/p.toml:model.size=range(1,3)")
    done = project.wherry("exp", "run", "-n", "try", "--json", *changes).expect(0).json()
    assert done["schema"] == "wherry.sweep/1"
    assert [run["name"] for run in done["runs"]] == ["try-1", "try-2", "try-3", "try-4"]
    trained = [run["stages"][1]["params"] for run in done["runs"]]
    assert [(params["params.yaml"]["l?"], params["conf/p.toml"]["model.size"]) for params in trained] == [
        (0.5, 1),
        (0.5, 2),
        (0.25, 1),
        (0.25, 2),
    ]
    # What does not depend on the swept parameters is computed once.
    assert [states(run)["prepare"] for run in done["runs"]] == [
        ("succeeded", "miss"),
        *[("succeeded", "hit")] * 3,
    ]
    assert all(states(run)["train"] == ("succeeded", "miss") for run in done["runs"])
    assert (project.root / "params.yaml").read_text() == before
    project.wherry("apply", "try-3").expect(0)
    assert (project.root / "params.yaml").read_text() == "lr: 0.25 # rate\nseed: 1\n"
    assert (project.root / "conf/p.toml").read_text() == "[model]\nsize = 1 # units\n"
    assert (
        project.root / "metrics.json"
    ).read_text() == "lr: 0.25 # rate\nseed: 1\n[model]\nsize = 1 # units\n"
    project.wherry("status", "-q").expect(0)


def test_queued_runs_are_named_and_go_on(project: Project) -> None:
    project.write({"in": "of these runs alone\n"})
    queued = project.wherry("exp", "run", "--queue", "-n", "q", "-S", "lr=choice(1,2)").expect(0)
    assert queued.out.split() == ["q-1", "q-2"]
    project.wherry("wait", "q-1", "q-2").expect(0)
    ended = [project.wherry("show", name, "--json").expect(0).json() for name in ("q-1", "q-2")]
    assert [run["state"] for run in ended] == ["succeeded", "succeeded"]
    # They go at once, and still what they share is computed by one of them only.
    assert [states(run)["prepare"][1] for run in ended].count("miss") == 1


def test_the_worst_run_decides_the_code_and_the_others_are_made(project: Project) -> None:
    project.write({"dvc.yaml": "stages:\n  s: {cmd: 'exit ${lr}', outs: [o], always_changed: true}\n"})
    done = project.wherry("exp", "run", "--json", "-S", "lr=3,0").expect(1).json()
    assert done["runs"][0]["state"] == "failed"
    assert len(done["runs"]) == 2


def test_repro_names_the_command_for_sweeps(project: Project) -> None:
    refused = project.wherry("repro", "-S", "lr=1,2")
    assert refused.code == 6
    assert "wherry exp run" in refused.err
    refused = project.wherry("repro", "-S", "lr=range(1,3)")
    assert refused.code == 6
    assert "wherry exp run" in refused.err


def test_parameters_are_composed_as_dvc_composes_them(project: Project) -> None:
    project.write(
        {
            "conf/config.yaml": "defaults: [db: mysql, _self_]\nlr: 0.1\nseed: 1\nurl: x:${db.port}\n",
            "conf/db/mysql.yaml": "port: 3306\n",
            "conf/db/pg.yaml": "port: 5432\n",
        }
    )
    project.dvc("config", "hydra.enabled", "True").expect(0)
    project.commit()
    project.wherry("exp", "run", "-S", "db=pg", "-S", "lr=0.5").expect(0)
    ours = (project.root / "params.yaml").read_bytes()
    lock = (project.root / "dvc.lock").read_bytes()
    twin = project.clone(project.root.parent / "twin", user="bob")
    twin.dvc("exp", "run", "-S", "db=pg", "-S", "lr=0.5").expect(0)
    assert (twin.root / "params.yaml").read_bytes() == ours
    assert (twin.root / "dvc.lock").read_bytes() == lock
    project.wherry("exp", "run", "--no-hydra", "-S", "lr=7").expect(0)
    assert b"lr: 7\n" in (project.root / "params.yaml").read_bytes()


def test_a_configuration_that_asks_for_the_environment_is_refused(project: Project) -> None:
    project.write({"conf/config.yaml": "lr: ${oc.env:HOME}\nseed: 1\n"})
    project.dvc("config", "hydra.enabled", "True").expect(0)
    refused = project.wherry("exp", "run")
    assert refused.code == 6
    assert "oc.env" in refused.err
    assert "Traceback" not in refused.err
