"""`wherry repro` over a real socket, as a program."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2

from tests.integration.client.conftest import WHERRY, Run
from tests.integration.client.fake_service import FakeService, digest_of, md5_of
from wherry.v1 import pipelines_pb2, runs_pb2

NEW_LOCK = b"new lock\n"
METRICS = b'{"acc": 0.91, "loss": {"val": 0.2100001}}\n'


@pytest.fixture
def succeeded(service: FakeService) -> runs_pb2.Run:
    service.hold(NEW_LOCK)
    service.hold(METRICS)
    run = service.script.run
    run.state = runs_pb2.STATE_SUCCEEDED
    run.user = "ana"
    run.created_at.CopyFrom(Timestamp(seconds=1_700_000_000))
    run.started_at.CopyFrom(Timestamp(seconds=1_700_000_002))
    run.finished_at.CopyFrom(Timestamp(seconds=1_700_000_023, nanos=300_000_000))
    run.saved_s = 3.1
    run.stages.add(
        name="prepare",
        state=runs_pb2.STATE_SUCCEEDED,
        cache=runs_pb2.CACHE_USE_HIT,
        from_run="37",
        from_user="bob",
        wall_s=3.1,
    )
    train = run.stages.add(
        name="train",
        state=runs_pb2.STATE_SUCCEEDED,
        cache=runs_pb2.CACHE_USE_MISS,
        attempt=1,
        exit_code=0,
        wall_s=12.44,
        params_json='{"params.yaml": {"lr": 0.1}}',
    )
    train.deps.add(path="train.py", hash=md5_of(b"x"), size_bytes=1)
    train.outs.add(
        path="metrics.json",
        hash=md5_of(METRICS),
        size_bytes=len(METRICS),
        kind=pipelines_pb2.OUTPUT_KIND_METRIC,
    )
    run.write_backs.add(
        path="dvc.lock",
        digest=digest_of(NEW_LOCK),
        submitted_hash=md5_of(b"old lock\n"),
        kind=runs_pb2.WRITE_BACK_KIND_LOCK,
    )
    run.write_backs.add(path="metrics.json", digest=digest_of(METRICS), kind=runs_pb2.WRITE_BACK_KIND_OUTPUT)
    service.script.events = [
        run.stages[0],
        runs_pb2.StageRecord(name="train", state=runs_pb2.STATE_RUNNING),
        run.stages[1],
    ]
    service.script.lines = [("train", b"epoch 1"), ("train", b"epoch 2 \x1b]0;title\x07done")]
    return run


def test_a_run_is_submitted_watched_and_brought_back(
    wherry: Run, service: FakeService, project: Path, succeeded: runs_pb2.Run
) -> None:
    done = wherry("repro", "train", "-S", "lr=0.1", "-n", "mine")
    assert done.code == 0, done.err
    assert "Run 42 brave-otter submitted: 2 stages\nCtrl-C detaches, `wherry attach 42`" in done.err
    assert "prepare  cached from run 37 by bob, saved 3.1 s\n" in done.err
    assert "train    running\n" in done.err
    assert "train    | epoch 2 done\n" in done.err
    assert "train    succeeded in 12.4 s" in done.err
    assert done.out.startswith("Run 42 succeeded in 21.3 s: 1 cached, 1 ran. Saved 3.1 s.\n")
    assert "metrics.json  loss.val  0.21\n" in done.out
    assert (project / "dvc.lock").read_bytes() == NEW_LOCK
    assert (project / "metrics.json").read_bytes() == METRICS
    assert not list(project.glob(".wherry-*"))
    request = service.submit_requests[-1]
    assert (list(request.submission.targets), list(request.submission.set_params)) == (["train"], ["lr=0.1"])
    assert request.name == "mine"
    assert {asked.idempotency_key for asked in service.submit_requests} == {request.idempotency_key}
    assert {file.path for file in request.submission.snapshot.files} == {
        ".dvc/.gitignore",
        ".dvc/config",
        ".gitignore",
        "dvc.lock",
        "dvc.yaml",
    }
    assert request.submission.working_folder == ""
    assert service.metadata["wherry-user"] == "ana"


def test_json_is_one_document_with_every_key_of_the_contract(wherry: Run, succeeded: runs_pb2.Run) -> None:
    document = wherry("repro", "--json").json()
    assert set(document) >= {
        "schema",
        "id",
        "name",
        "project",
        "user",
        "rev",
        "dirty",
        "state",
        "created_at",
        "started_at",
        "finished_at",
        "queue_s",
        "wall_s",
        "compute_s",
        "saved_s",
        "stages",
        "error",
    }
    assert document["schema"] == "wherry.run/1"
    assert (document["queue_s"], document["wall_s"], document["rev"]) == (2.0, 21.3, None)
    assert document["created_at"] == "2023-11-14T22:13:20Z"
    train = document["stages"][1]
    assert set(train) >= {
        "name",
        "state",
        "cache",
        "key",
        "from_run",
        "source",
        "attempt",
        "node",
        "image",
        "exit_code",
        "reason",
        "wall_s",
        "deps",
        "outs",
        "params",
        "undeclared",
    }
    assert (train["cache"], train["key"], train["exit_code"]) == ("miss", None, 0)
    assert train["params"] == {"params.yaml": {"lr": 0.1}}
    assert train["deps"] == [{"path": "train.py", "md5": md5_of(b"x"), "size": 1, "nfiles": None}]
    assert document["stages"][0]["exit_code"] is None


def test_a_second_submission_uploads_nothing_and_needs_one_call(
    wherry: Run, service: FakeService, project: Path, succeeded: runs_pb2.Run
) -> None:
    (project / "data").mkdir()
    (project / "data" / "a").write_text("a")
    service.script.data_needs = ["data", "nothing"]
    assert wherry("repro").code == 0
    assert len(service.submissions) == 3
    told = {data.path: data for data in service.submissions[-1].snapshot.data}
    assert told["data"].digest.hash.endswith(".dir")
    assert (told["data"].nfiles, told["data"].total_bytes) == (1, 1)
    assert not told["nothing"].HasField("digest")
    service.uploaded.clear()
    service.submissions.clear()
    service.hold((project / "metrics.json").read_bytes())
    assert wherry("repro").code == 0
    assert len(service.submissions) == 1
    assert service.uploaded == []


def test_many_and_large_files_travel_whole(
    wherry: Run, service: FakeService, project: Path, succeeded: runs_pb2.Run
) -> None:
    (project / "large").write_bytes(os.urandom(5_000_001))
    (project / "empty").write_bytes(b"")
    for index in range(300):
        (project / f"small-{index}").write_bytes(b"%d" % index * 20_000)
    done = wherry("repro")
    assert done.code == 0, done.err
    for file in project.iterdir():
        if file.is_file() and file.name not in {"dvc.lock", "metrics.json"}:
            assert service.blobs[md5_of(file.read_bytes())] == file.read_bytes()
    assert len(service.messages) < 30
    assert "Uploading 307 files, " in done.err


def test_a_call_whose_answer_is_lost_is_made_again_and_submits_once(
    wherry: Run, service: FakeService
) -> None:
    service.script.lose_answers = 2
    submitted = wherry("repro", "--detach")
    service.script.lose_answers = 2
    shown = wherry("show", "42")
    # Not for ever: a service that is gone is soon said to be.
    service.script.lose_answers = 100
    gone = wherry("show", "42")

    assert submitted.code == 0, submitted.err
    # Two that were lost, one that was told what is missing, and the one that counts.
    assert len(service.submit_requests) == 4
    assert len({request.idempotency_key for request in service.submit_requests}) == 1
    assert shown.code == 0, shown.err
    assert gone.code == 69
    assert service.script.lose_answers == 96


@pytest.mark.parametrize("is_older", [False, True])
def test_streams_that_break_go_on_without_a_line_twice(
    wherry: Run, service: FakeService, succeeded: runs_pb2.Run, *, is_older: bool
) -> None:
    service.script.is_older = is_older
    service.script.break_streams_after = 1 if is_older else 2  # a whole batch is heard
    done = wherry("repro")
    assert done.code == 0, done.err
    assert "connection lost, retrying (the run goes on)" in done.err
    assert done.err.count("epoch 1") == 1
    assert done.err.count("epoch 2") == 1
    assert done.err.count("cached from run 37") == 1


def test_what_the_service_notes_of_a_cached_stage_is_said_once(
    wherry: Run, service: FakeService, succeeded: runs_pb2.Run
) -> None:
    service.script.notes = [("prepare", b"cached: computed in run 37"), ("train", b"$ python train.py")]
    done = wherry("repro")
    assert "computed in run 37" not in done.err
    assert "train    | $ python train.py\n" in done.err


def test_a_lock_changed_meanwhile_is_kept_and_apply_force_replaces_it(
    wherry: Run, service: FakeService, project: Path, succeeded: runs_pb2.Run
) -> None:
    succeeded.write_backs[0].submitted_hash = md5_of(b"what it was")
    done = wherry("repro")
    assert done.code == 0
    assert "warning: dvc.lock was changed since the submission" in done.err
    assert (project / "dvc.lock").read_bytes() == b"old lock\n"
    assert wherry("apply", "42").code == 255
    assert (project / "dvc.lock").read_bytes() == b"old lock\n"
    assert wherry("apply", "42", "--force").code == 0
    assert (project / "dvc.lock").read_bytes() == NEW_LOCK


def test_pull_none_leaves_outputs_out(wherry: Run, project: Path, succeeded: runs_pb2.Run) -> None:
    assert wherry("repro", "--pull", "none").code == 0
    assert (project / "dvc.lock").read_bytes() == NEW_LOCK
    assert not (project / "metrics.json").exists()


def test_pull_all_brings_cached_outputs(
    wherry: Run, service: FakeService, project: Path, succeeded: runs_pb2.Run
) -> None:
    tree = service.hold_tree({"w/1": b"one", "w/2": b"two"})
    succeeded.stages[1].outs.add(path="model", hash=tree, size_bytes=6, nfiles=2, cache=True)
    assert wherry("repro").code == 0
    assert not (project / "model").exists()
    assert wherry("repro", "--pull", "all").code == 0
    assert (project / "model" / "w" / "2").read_bytes() == b"two"


def test_a_failed_stage_is_code_1_with_reason_last_output_and_hint(
    wherry: Run, service: FakeService, succeeded: runs_pb2.Run
) -> None:
    succeeded.state = runs_pb2.STATE_FAILED
    succeeded.error.CopyFrom(
        runs_pb2.RunError(reason="STAGE_FAILED", message="stage 'train' failed", hint="look")
    )
    succeeded.stages[1].state = runs_pb2.STATE_FAILED
    succeeded.stages[1].reason = "exit code 1"
    done = wherry("repro", "--no-logs", "--json")
    assert done.code == 1
    assert "error: stage 'train' failed after 12.4 s: exit code 1" in done.err
    assert "  | epoch 1\n" in done.err
    assert "  hint: all of its output: `wherry logs 42 train`" in done.err
    assert done.json()["error"] == {"id": "STAGE_FAILED", "message": "stage 'train' failed", "hint": "look"}
    # Under -q nothing of it was shown before either; and the last lines are of the failure.
    quiet = wherry("repro", "-q")
    assert "  | epoch 1\n" in quiet.err
    (line,) = wherry("repro").out.splitlines()
    assert line.startswith("Run 42 failed")


def test_detach_returns_the_run_and_writes_nothing(
    wherry: Run, project: Path, succeeded: runs_pb2.Run
) -> None:
    done = wherry("repro", "-d")
    assert (done.code, done.out) == (0, "42\n")
    assert "`wherry attach 42`" in done.err
    assert (project / "dvc.lock").read_bytes() == b"old lock\n"


def test_the_clients_time_limit_is_code_4(wherry: Run, service: FakeService, succeeded: runs_pb2.Run) -> None:
    service.script.never_ends = True
    done = wherry("repro", "--timeout", "0.5", "--json")
    assert done.code == 4
    assert done.json()["error"]["id"] == "TIMEOUT"
    assert "wherry attach 42" in done.err


def test_ctrl_c_while_watching_detaches(
    service: FakeService, project: Path, environment: dict[str, str], succeeded: runs_pb2.Run
) -> None:
    service.script.never_ends = True
    process = subprocess.Popen(
        [str(WHERRY), "--server", service.address, "repro"],
        cwd=project,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            seen = ""
            while "succeeded in" not in seen:
                seen = process.stderr.readline()
                assert seen
            process.send_signal(signal.SIGINT)
            _, rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Detached; run 42 goes on. `wherry attach 42` comes back" in rest


def test_a_mistake_in_the_pipeline_is_told_with_its_place(
    wherry: Run, service: FakeService, succeeded: runs_pb2.Run
) -> None:
    service.script.refuse = (
        code_pb2.INVALID_ARGUMENT,
        "PIPELINE_INVALID",
        "deps must be a list",
        {"path": "dvc.yaml", "line": "3", "column": "0", "hint": "write a list"},
    )
    done = wherry("repro", "--json")
    assert done.code == 6
    assert done.err == "error: deps must be a list\n  where: dvc.yaml:3\n  hint: write a list\n"
    assert done.json() == {
        "schema": "wherry.error/1",
        "error": {
            "id": "PIPELINE_INVALID",
            "message": "deps must be a list",
            "hint": "write a list",
            "where": "dvc.yaml:3",
        },
    }


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        (code_pb2.UNAUTHENTICATED, "NOT_ALLOWED", 77),
        (code_pb2.PERMISSION_DENIED, "NOT_ALLOWED", 77),
        (code_pb2.UNAVAILABLE, "ENGINE_UNAVAILABLE", 69),
        (code_pb2.RESOURCE_EXHAUSTED, "TOO_BUSY", 75),
        (code_pb2.NOT_FOUND, "STAGE_UNKNOWN", 5),
        (code_pb2.INVALID_ARGUMENT, "PATH_ESCAPES", 6),
        (code_pb2.FAILED_PRECONDITION, "TREE_INCOMPLETE", 255),
        (code_pb2.FAILED_PRECONDITION, "DATA_MISSING", 6),
        (code_pb2.FAILED_PRECONDITION, "DATA_CHANGED", 6),
        (code_pb2.FAILED_PRECONDITION, "IMAGE_NOT_FOUND", 6),
        (code_pb2.INTERNAL, "BUG", 70),
        (code_pb2.UNKNOWN, "BUG", 70),
    ],
)
def test_each_status_has_its_exit_code(
    wherry: Run, service: FakeService, code: int, reason: str, exit_code: int
) -> None:
    service.script.refuse = (code, reason, "no", {})
    done = wherry("show", "42", "--json")
    assert (done.code, done.json()["error"]["id"]) == (exit_code, reason)


def test_without_a_server_it_is_code_69_and_says_how_to_start_one(wherry: Run, unused_port: int) -> None:
    nowhere = wherry("repro", WHERRY_SERVER="")
    assert nowhere.code == 69
    assert "hint: start one with `wherry up`" in nowhere.err
    silent = wherry("repro", WHERRY_SERVER=f"grpc://127.0.0.1:{unused_port}")
    assert silent.code == 69
    assert "cannot reach the service at 127.0.0.1" in silent.err


def test_outside_a_project_it_is_code_253(wherry: Run, tmp_path: Path) -> None:
    assert wherry("repro", folder=tmp_path).code == 253


def test_wrong_usage_is_code_254_and_configuration_251(wherry: Run) -> None:
    assert wherry("repro", "--no-such-flag").code == 254
    assert wherry("nonsense").code == 254
    done = wherry("ps", "--json", WHERRY_SERVER="grpc://example.org:1")
    assert done.code == 251
    assert "grpcs://example.org:1" in done.json()["error"]["hint"]


def test_targets_are_said_relative_to_the_folder(
    wherry: Run, service: FakeService, project: Path, succeeded: runs_pb2.Run
) -> None:
    (project / "sub").mkdir()
    assert wherry("-C", "sub", "repro", "-d").code == 0
    assert service.submissions[-1].working_folder == "sub"


def test_the_service_cannot_make_the_client_write_elsewhere(
    wherry: Run, service: FakeService, project: Path, tmp_path: Path, succeeded: runs_pb2.Run
) -> None:
    for path in (
        "../evil",
        "/tmp/evil",
        ".git/hooks/post-checkout",
        ".dvc/config",
        "a/../../evil",
        ".GIT/config",
    ):
        del succeeded.write_backs[1:]
        succeeded.write_backs.add(path=path, digest=digest_of(METRICS), kind=runs_pb2.WRITE_BACK_KIND_OUTPUT)
        done = wherry("apply", "42")
        assert (done.code, "a path that it may not touch" in done.err) == (70, True)
    assert not (tmp_path / "evil").exists()
    assert (project / "dvc.lock").read_bytes() == b"old lock\n"


def test_the_service_cannot_read_secrets(
    wherry: Run, service: FakeService, project: Path, succeeded: runs_pb2.Run
) -> None:
    (project / ".dvc" / "config.local").write_text("secret")
    service.script.data_needs = [".dvc/config.local"]
    done = wherry("repro", "--json")
    assert (done.code, done.json()["error"]["id"]) == (70, "PATH_ESCAPES")
    assert md5_of(b"secret") not in service.blobs


def test_content_that_is_not_what_its_name_says_is_not_kept(
    wherry: Run, service: FakeService, project: Path, succeeded: runs_pb2.Run
) -> None:
    service.script.corrupt = True
    done = wherry("apply", "42")
    assert (done.code, "is something else; it was not kept" in done.err) == (70, True)
    assert (project / "dvc.lock").read_bytes() == b"old lock\n"
    assert not (project / "metrics.json").exists()
    assert not list(project.glob(".wherry-*"))
