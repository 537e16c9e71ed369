"""A token for each person and job: made by the owner, taken for who its holder is, and taken back."""

import json
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.e2e.harness import WHERRY, Finished, Project, Service, files_that_hold, run
from wherry.v1 import runs_pb2, runs_pb2_grpc, system_pb2, system_pb2_grpc

_FILES = {"dvc.yaml": "stages: {a: {cmd: echo said; echo > made, outs: [made]}}\n"}


def test_a_holder_runs_under_their_own_name_until_the_token_is_removed(
    make_project: Callable[[dict[str, str]], Project], service: Service, tmp_path: Path
) -> None:
    project = make_project(_FILES)
    made = project.wherry("token", "create", "laptop-of-ben", "--user", "ben", "--expires", "30d").expect(0)
    token = made.out.strip()
    assert made.out.startswith("wherry_")
    assert token not in made.err

    def as_ben(*arguments: str) -> Finished:
        # What the caller says of themselves does not count.
        environment = {**service.environment("somebody else"), "WHERRY_TOKEN": token}
        return run([WHERRY, *arguments], cwd=project.root, env=environment)

    said = as_ben("repro", "--json").expect(0).json()
    assert (said["user"], said["state"]) == ("ben", "succeeded")
    assert "said" in as_ben("logs", said["id"]).expect(0).out
    who = as_ben("whoami", "--json").expect(0).json()
    assert (who["user"], who["token"], who["is_owner"]) == ("ben", "laptop-of-ben", False)
    assert "with the token laptop-of-ben, which counts until 2" in as_ben("whoami").expect(0).out
    refused = as_ben("token", "create", "more").expect(77)
    assert "the token 'laptop-of-ben' cannot make, see or remove tokens" in refused.err
    as_ben("token", "ls").expect(77)
    as_ben("token", "rm", "laptop-of-ben").expect(77)

    (listed,) = project.wherry("token", "ls", "--json").expect(0).json()["tokens"]
    assert (listed["name"], listed["user"]) == ("laptop-of-ben", "ben")
    assert listed["created_at"] <= listed["used_at"] < listed["expires_at"]
    assert project.wherry("whoami", "--json").expect(0).json()["is_owner"] is True

    project.wherry("token", "rm", "laptop-of-ben").expect(0)
    for words in (("ps",), ("logs", said["id"]), ("repro",)):
        assert "the call carries no valid token" in as_ben(*words).expect(77).err
    # What is kept tells nobody the token: database, log, and what it stands on.
    kept = [file for file in service.home.glob("*") if file.is_file()]
    assert {"service.log", "wherry.db"} <= {file.name for file in kept}
    assert files_that_hold(token.removeprefix("wherry_"), *kept) == []


@pytest.mark.parametrize(
    "carried", ["", "Bearer", "Bearer ", "bearer x", "Basic eDp5", "Bearer wherry_x", "Bearer " + "x" * 4000]
)
def test_no_call_is_let_in_with_anything_else(channel: grpc.Channel, carried: str) -> None:
    metadata = (("authorization", carried), ("wherry-user", "ana"))
    with pytest.raises(grpc.RpcError) as unary:
        system_pb2_grpc.SystemServiceStub(channel).GetInfo(system_pb2.GetInfoRequest(), metadata=metadata)
    watch = runs_pb2_grpc.RunServiceStub(channel).WatchRun
    with pytest.raises(grpc.RpcError) as stream:
        next(watch(runs_pb2.WatchRunRequest(run="1"), metadata=metadata))
    for error in (unary.value, stream.value):
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_token_is_kept_by_login_and_shown_by_nothing(service: Service, tmp_path: Path) -> None:
    made = service.wherry("token", "create", "ana", "--json", cwd=tmp_path).expect(0).json()
    address = json.loads((service.home / "service.json").read_text())["address"]
    environment = {**service.environment("x"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment["WHERRY_HOME"] = str(tmp_path / "another home")
    words = ("login", address, "--token", "-", "--json")
    kept = run([WHERRY, *words], cwd=tmp_path, env=environment, stdin=made["token"] + "\n").expect(0)
    assert "knows you as ana" in kept.err
    assert [(one["name"], one["has_token"]) for one in kept.json()["profiles"]] == [("default", True)]
    told = run([WHERRY, "whoami", "-v"], cwd=tmp_path, env=environment).expect(0)
    assert told.out.startswith("ana at grpc://")
    assert made["token"] not in kept.out + kept.err + told.out + told.err
    service.wherry("token", "rm", "ana", cwd=tmp_path).expect(0)
    run([WHERRY, "whoami"], cwd=tmp_path, env=environment).expect(77)
