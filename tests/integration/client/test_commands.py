"""The other commands over a real socket, as programs."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.integration.client.conftest import WHERRY, Run
from tests.integration.client.fake_service import FakeService, digest_of, md5_of
from wherry.v1 import pipelines_pb2, runs_pb2


def test_status_is_a_table_and_q_says_by_code_whether_there_is_work(
    wherry: Run, service: FakeService
) -> None:
    plan = service.script.plan
    plan.stages.add(
        name="prepare",
        decision=pipelines_pb2.DECISION_HIT,
        reasons=["run 3 by ana"],
        key="ab",
        source=pipelines_pb2.HIT_SOURCE_RUN,
    )
    assert wherry("status", "-q").code == 0
    plan.stages.add(name="train", decision=pipelines_pb2.DECISION_RUN, reasons=["params changed: lr"])
    done = wherry("status")
    assert done.out.splitlines() == [
        "NAME     DECISION  REASON",
        "prepare  hit       run 3 by ana",
        "train    run       params changed: lr",
    ]
    quiet = wherry("status", "-q")
    assert (quiet.code, quiet.out) == (1, "")
    assert wherry("status", "--json").json() == {
        "schema": "wherry.plan/1",
        "stages": [
            {
                "name": "prepare",
                "decision": "hit",
                "reasons": ["run 3 by ana"],
                "key": "ab",
                "source": "run",
                "settings": [],
            },
            {
                "name": "train",
                "decision": "run",
                "reasons": ["params changed: lr"],
                "key": None,
                "source": None,
                "settings": [],
            },
        ],
    }
    assert wherry("repro", "--dry").out == done.out
    assert not service.submit_requests


def test_dag_has_three_forms(wherry: Run, service: FakeService) -> None:
    pipeline = service.script.pipeline
    pipeline.stages.add(name="data.dvc", is_source=True, wdir=".")
    stage = pipeline.stages.add(name="train", cmd=["a", "b"], cmd_is_list=True, wdir=".", deps=["data"])
    stage.params.add(file="params.yaml", keys=["lr"])
    stage.params.add(file="all.yaml")
    stage.outs.add(path="model", kind=pipelines_pb2.OUTPUT_KIND_OUT, cache=True)
    pipeline.stages.add(name="eval", cmd=["c"], wdir="sub", frozen=True)
    pipeline.edges.add(producer="data.dvc", consumer="train")
    pipeline.edges.add(producer="train", consumer="eval")
    assert wherry("dag").out == "data.dvc\n  train  <- data.dvc\n    eval  (frozen)  <- train\n"
    assert wherry("dag", "--mermaid").out.splitlines()[:2] == ["flowchart TD", '\tnode1["data.dvc"]']
    document = wherry("dag", "--json").json()
    assert document["edges"] == [["data.dvc", "train"], ["train", "eval"]]
    assert document["nodes"][1] == {
        "name": "train",
        "cmd": ["a", "b"],
        "wdir": ".",
        "frozen": False,
        "always_changed": False,
        "deps": ["data"],
        "params": {"params.yaml": ["lr"], "all.yaml": None},
        "outs": [{"path": "model", "kind": "out", "cache": True, "persist": False}],
    }
    assert document["nodes"][2]["cmd"] == "c"


def test_ps_lists_the_projects_runs_and_a_all(wherry: Run, service: FakeService) -> None:
    service.script.run.state = runs_pb2.STATE_RUNNING
    done = wherry("ps")
    assert done.out.splitlines()[1].split()[:3] == ["42", "brave-otter", "running"]
    document = wherry("ps", "-a", "--json").json()
    assert document["schema"] == "wherry.runs/1"
    assert "stages" not in document["runs"][0]
    assert set(service.calls) == {"list:project", "list:"}


def test_logs_show_the_stage_and_strip_what_steers_the_terminal(wherry: Run, service: FakeService) -> None:
    service.script.lines = [("a", b"one\x1b[2J"), ("b", b" 10%\r 99%\xff")]
    assert wherry("logs", "42").out == "a | one\nb |  99%\ufffd\n"
    assert wherry("logs", "brave-otter", "b").out == " 99%\ufffd\n"
    assert wherry("logs", "43").code == 5


def test_wait_and_stop(wherry: Run, service: FakeService) -> None:
    service.script.run.state = runs_pb2.STATE_CANCELLED
    assert wherry("stop", "42").code == 0
    assert service.stopped == ["42"]
    done = wherry("wait", "42")
    assert (done.code, done.out) == (3, "Run 42 cancelled.\n")


def test_pull_brings_a_folder_exactly_and_fetches_nothing_twice(
    wherry: Run, service: FakeService, project: Path
) -> None:
    tree = service.hold_tree({"w/1": b"one", "w/2": b"two", "same": b"one"})
    stage = service.script.run.stages.add(name="train")
    stage.outs.add(path="model", hash=tree, size_bytes=9, nfiles=3, cache=True)
    stage.outs.add(path="tool", hash=service.hold(b"#!"), size_bytes=2, executable=True, cache=True)
    (project / "model" / "old").mkdir(parents=True)
    (project / "model" / "old" / "x").write_text("x")
    (project / "model" / "w").write_text("a file where a folder is to be")
    done = wherry("pull", "42")
    assert done.code == 0, done.err
    assert {str(p.relative_to(project / "model")) for p in (project / "model").rglob("*") if p.is_file()} == {
        "w/1",
        "w/2",
        "same",
    }
    assert not (project / "model" / "old").exists()
    assert (project / "tool").stat().st_mode & stat.S_IXUSR
    assert service.downloaded.count(md5_of(b"one")) == 1
    assert "2 outputs: 4 files written (8 B), 1 removed." in done.out
    service.downloaded.clear()
    assert "4 right already" in wherry("pull", "42").out
    assert service.downloaded == [], "the list of files is in the cache too"


def test_pull_makes_an_empty_folder_and_takes_the_place_of_a_pipe(
    wherry: Run, service: FakeService, project: Path
) -> None:
    stage = service.script.run.stages.add(name="train")
    stage.outs.add(path="nothing", hash=service.hold_tree({}), cache=True)
    stage.outs.add(path="model", hash=service.hold(b"one"), size_bytes=3, cache=True)
    os.mkfifo(project / "model")

    done = wherry("pull", "42")

    assert done.code == 0, done.err
    assert list((project / "nothing").iterdir()) == []
    assert (project / "model").read_bytes() == b"one"


def test_pull_takes_only_the_paths_asked_for(wherry: Run, service: FakeService, project: Path) -> None:
    tree = service.hold_tree({"w/1": b"one", "w/2": b"two"})
    stage = service.script.run.stages.add(name="train")
    stage.outs.add(path="model", hash=tree, cache=True)
    stage.outs.add(path="other/x", hash=service.hold(b"x"), cache=True)
    (project / "other").mkdir()
    assert wherry("pull", "42", "../model/w/1", folder=project / "other").code == 0
    assert (project / "model" / "w" / "1").exists()
    assert not (project / "model" / "w" / "2").exists()
    assert not (project / "other" / "x").exists()
    assert wherry("pull", "brave-otter", "other").code == 0
    assert (project / "other" / "x").exists()
    assert wherry("pull", "42", "nothing").code == 6
    assert wherry("pull", "42", "../..").code == 255


def test_pull_without_a_run_takes_what_is_known_of_the_workspace(
    wherry: Run, service: FakeService, project: Path
) -> None:
    service.script.plan.sources.add(path="data/raw", hash=service.hold(b"raw"))
    hit = service.script.plan.stages.add(name="a", decision=pipelines_pb2.DECISION_HIT)
    hit.outs.add(path="out.txt", hash=service.hold(b"out"))
    assert wherry("pull").code == 0
    assert (project / "data" / "raw").read_bytes() == b"raw"
    assert wherry("pull", "out.txt").code == 0
    assert (project / "out.txt").read_bytes() == b"out"


def test_a_link_that_leads_out_is_not_written_through(
    wherry: Run, service: FakeService, project: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("keep")
    (project / "linked").symlink_to(outside)
    stage = service.script.run.stages.add(name="train")
    stage.outs.add(path="linked/x", hash=service.hold(b"x"), cache=True)
    assert wherry("pull", "42").code == 70
    stage.outs[0].path = "linked"
    stage.outs[0].hash = service.hold_tree({"x": b"x"})
    assert wherry("pull", "42").code == 0
    assert [file.name for file in outside.iterdir()] == ["keep"]
    assert (project / "linked" / "x").read_bytes() == b"x"


def test_hostile_trees_are_refused(wherry: Run, service: FakeService, project: Path, tmp_path: Path) -> None:
    stage = service.script.run.stages.add(name="train")
    for name in ("../../evil", "/evil", "a//b", "x/.git/config"):
        del stage.outs[:]
        stage.outs.add(path="model", hash=service.hold_tree({name: b"x"}), cache=True)
        assert wherry("pull", "42").code == 70
    assert not (tmp_path / "evil").exists()


def test_apply_of_a_running_run_is_refused(wherry: Run, service: FakeService) -> None:
    service.script.run.state = runs_pb2.STATE_RUNNING
    service.script.run.write_backs.add(path="dvc.lock", digest=digest_of(b""))
    assert wherry("apply", "42").code == 255


def test_dvc_remote_hides_the_secret_unless_asked_and_writes_it_where_dvc_keeps_it(
    wherry: Run, project: Path
) -> None:
    local = project / ".dvc" / "config.local"
    local.write_text(
        "# mine\n[core]\n    autostage = true\n    remote = other\n['remote \"other\"']\n    url = /x\n"
    )
    assert "s,e#cret" not in wherry("dvc-remote").out
    assert wherry("dvc-remote", "--json").json()["secret_access_key"] == "s,e#cret"
    for _ in range(2):
        assert wherry("dvc-remote", "--write").code == 0
    assert stat.S_IMODE(local.stat().st_mode) == 0o600
    dvc = Path(__file__).resolve().parents[3] / ".venv-dvc" / "bin" / "dvc"
    listed = subprocess.run(
        [str(dvc), "config", "--local", "--list"], cwd=project, check=True, capture_output=True, text=True
    ).stdout
    assert set(listed.splitlines()) == {
        "core.autostage=true",
        "core.remote=wherry",
        "remote.other.url=/x",
        "remote.wherry.url=s3://wherry/dvc",
        "remote.wherry.endpointurl=http://127.0.0.1:8333",
        "remote.wherry.region=us-east-1",
        "remote.wherry.access_key_id=id",
        "remote.wherry.secret_access_key=s,e#cret",
    }
    assert local.read_text().startswith("# mine\n")


def test_the_embedded_service_is_found_by_its_record_with_its_token(
    wherry: Run, service: FakeService, environment: dict[str, str]
) -> None:
    home = Path(environment["WHERRY_HOME"])
    home.mkdir()
    (home / "token").write_text("t0ken\n")
    (home / "service.json").write_text(f'{{"pid": 1, "address": "{service.address}", "token_file": "token"}}')
    assert wherry("repro", "-d", WHERRY_SERVER="").code == 0
    assert service.metadata["authorization"] == "Bearer t0ken"


def test_of_what_stages_used_only_what_was_counted_is_shown(wherry: Run, service: FakeService) -> None:
    stage = service.script.run.stages.add(name="train")
    stage.usage.cpu_s = 1.5
    stage.usage.read_bytes = 1024
    assert "\nUSED BY  CPU    READ\ntrain    1.5 s  1.0 KiB\n" in wherry("show", "42").out


def test_a_secret_without_a_value_is_asked_for_again(wherry: Run) -> None:
    done = wherry("secret", "set", "TOKEN")
    assert done.code == 255
    assert done.err.startswith("error: no value for TOKEN came on stdin\n  hint: ")


def test_service_status_and_down_are_calm_when_nothing_runs(wherry: Run, environment: dict[str, str]) -> None:
    done = wherry("service", "status", "--json")
    assert done.code == 69
    assert done.json() == {
        "schema": "wherry.service/1",
        "pid": None,
        "address": None,
        "home": environment["WHERRY_HOME"],
        "healthy": False,
        "version": None,
        "s3_endpoint": None,
        "store_url": None,
        "engine_version": None,
    }
    stopped = wherry("down")
    assert (stopped.code, stopped.err) == (0, "The service does not run.\n")
    assert wherry("service", "logs").code == 5


def test_a_reader_that_goes_away_is_code_141(
    service: FakeService, project: Path, environment: dict[str, str]
) -> None:
    service.script.lines = [("a", b"x" * 1000)] * 500
    process = subprocess.Popen(
        [str(WHERRY), "--server", service.address, "logs", "42"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(1)
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(timeout=60) == 141
        finally:
            process.kill()


@pytest.mark.parametrize(("flag", "colored"), [("always", True), ("never", False), ("auto", False)])
def test_color_is_as_asked(wherry: Run, service: FakeService, flag: str, *, colored: bool) -> None:
    service.script.plan.stages.add(name="run", decision=pipelines_pb2.DECISION_RUN)
    assert ("\x1b[" in wherry("status", "--color", flag).out) is colored


def test_why_names_the_nearest_result_and_what_differs(wherry: Run, service: FakeService) -> None:
    explanation = service.script.explanation
    explanation.stage, explanation.decision = "train", pipelines_pb2.DECISION_RUN
    explanation.reasons.append("no result is known for these inputs")
    explanation.nearest.run, explanation.nearest.user = "3", "ana"
    explanation.nearest.created_at.FromSeconds(1_800_000_000)
    explanation.differences.add(
        part=pipelines_pb2.KEY_PART_PARAMETER,
        name="params.yaml:lr",
        before="0.1",
        text="params.yaml: lr removed\x1b[2J (was 0.1)",
    )
    assert wherry("why", "train").out.splitlines() == [
        "train: run",
        "  no result is known for these inputs",
        "  nearest: run 3 by ana, 2027-01-15T08:00:00Z",
        "    params.yaml: lr removed (was 0.1)",
    ]
    document = wherry("why", "train", "--run", "42", "--json").json()
    assert document["nearest"] == {"run": "3", "user": "ana", "created_at": "2027-01-15T08:00:00Z"}
    assert (document["schema"], document["key"], document["origin"]) == ("wherry.why/1", None, None)
    assert document["differences"][0]["before"] == "0.1"
    assert document["differences"][0]["after"] is None


def test_status_in_the_words_of_dvc(wherry: Run, service: FakeService) -> None:
    status = service.script.lock_status
    status.document_json = "{}"
    assert wherry("status", "--dvc").out == "Data and pipelines are up to date.\n"
    assert wherry("status", "--dvc", "-q").code == 0
    document = {"train": [{"changed deps": {"p.yaml": {"lr": "new"}, "in": "modified"}}, "changed command"]}
    status.document_json = json.dumps(document)
    status.frozen.append("held")
    done = wherry("status", "--dvc")
    assert done.out.splitlines() == [
        "train:",
        "\tchanged deps:",
        "\t\tp.yaml:",
        "\t\t\tnew:                lr",
        "\t\tmodified:           in",
        "\tchanged command",
    ]
    assert "held is frozen" in done.err
    assert wherry("status", "--dvc", "--json").json() == document
    quiet = wherry("status", "--dvc", "-q")
    assert (quiet.code, quiet.out) == (1, "")
