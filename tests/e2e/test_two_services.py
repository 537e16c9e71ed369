"""Two services of one database: what one executes, those who wait at the other see as if it were theirs."""

import json
import os
import re
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import UNTIL_GO, Project, Service, git, new_project, until
from tests.postgres_cluster import PostgresCluster
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer

UNTIL_ON = UNTIL_GO.replace("go", "on")
SLOW = f"""\
stages:
  good:
    cmd: echo first; {UNTIL_ON}; echo more; {UNTIL_GO}; echo last; echo done > out
    deps: [seed]
    outs: [out]
  bad:
    cmd: echo first >&2; {UNTIL_ON}; echo more >&2; {UNTIL_GO}; echo last >&2; exit 3
    deps: [seed]
    outs: [none]
"""
SETTINGS = '[defaults]\nimage = "wherry/base:bookworm"\nnetwork = false\n'


@pytest.fixture
def services(
    tmp_path: Path, postgres: PostgresCluster, s3_server: SeaweedServer
) -> Iterator[tuple[Service, Service]]:
    settings = {
        "WHERRY_DATABASE_URL": postgres.new_database(),
        "WHERRY_S3_BUCKET": "wherry-tests",
        "WHERRY_S3_PREFIX": uuid.uuid4().hex,
        "WHERRY_S3_ENDPOINT": s3_server.endpoint,
        "WHERRY_S3_ACCESS_KEY": s3_server.access_key,
        "WHERRY_S3_SECRET_KEY": s3_server.secret_key,
    }
    north, south = (Service(tmp_path / name, settings) for name in ("north", "south"))
    for service in (north, south):
        service.home.mkdir()
        service.wherry("up", cwd=service.home).expect(0)
    yield north, south
    for service in (north, south):
        service.wherry("down", cwd=service.home).expect(0)


def put_into_workspaces(service: Service, file: str) -> None:
    for workspace in (service.home / "workspaces").iterdir():
        (workspace / file).touch()


def kill(service: Service) -> None:
    """End it at once, as if by kill -9 or a loss of power."""
    pid = json.loads((service.home / "service.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: service.wherry("service", "status", cwd=service.home).code != 0)


def test_who_waits_at_another_service_sees_each_line_once_and_while_it_runs_though_its_own_is_killed(
    services: tuple[Service, Service], tmp_path: Path
) -> None:
    north, south = services
    files = {"dvc.yaml": SLOW, "seed": uuid.uuid4().hex, ".dvc/wherry.toml": SETTINGS}
    ana = new_project(tmp_path / "ana", north, files)
    git(tmp_path, "clone", "-q", str(ana.root), str(tmp_path / "ben"))
    ben = Project(tmp_path / "ben", south, "ben")

    first = ana.wherry("repro", "--keep-going", "--detach", "--json").expect(0).json()["id"]
    until(lambda: lines_of(ana, first, "first") == 2)
    second = ben.wherry("repro", "--keep-going", "--detach", "--json").expect(0).json()["id"]
    until(lambda: lines_of(ben, second, "first") == 2)
    kill(south)
    south.wherry("up", cwd=south.home).expect(0)
    put_into_workspaces(north, "on")
    # They must not end before they are followed again.
    until(lambda: lines_of(ben, second, "more") == 2)
    meanwhile = shown(ana, first)
    put_into_workspaces(north, "go")
    ana.wherry("wait", first).expect(1)
    ben.wherry("wait", second).expect(1)
    told, stages = ben.wherry("logs", second).expect(0).out, shown(ben, second)

    assert {stage["state"] for stage in meanwhile.values()} == {"running"}
    assert {name: (stage["state"], stage["cache"], stage["from_run"]) for name, stage in stages.items()} == {
        "good": ("succeeded", "merged", first),
        "bad": ("failed", "merged", first),
    }
    assert stages["bad"]["reason"] == "exited with 3"
    assert told.count(f"attached to run {first} of ana") == 2
    assert [lines_of(ben, second, word) for word in ("first", "more", "last")] == [2, 2, 2]
    assert not (south.home / "workspaces").exists() or not list((south.home / "workspaces").iterdir())


def lines_of(project: Project, run_id: str, word: str) -> int:
    return len(re.findall(rf"(?m)\b{word}$", project.wherry("logs", run_id).expect(0).out))


def shown(project: Project, run_id: str) -> dict[str, Any]:
    stages = project.wherry("show", run_id, "--json").expect(0).json()["stages"]
    return {stage["name"]: stage for stage in stages}
