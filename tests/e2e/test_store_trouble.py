"""A service whose bucket, disk or files make trouble, as users see it: said clearly, nothing lost, nothing left."""

import os
import random
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness import WHERRY, Finished, Project, Service, git, new_project, run, states, until
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer

MIB = 1024 * 1024
PIPELINE = "stages:\n  copy: {cmd: cp in out, deps: [in], outs: [out]}\n"


@dataclass
class World:
    """A service that reaches its bucket through a proxy that fails when it is told to."""

    service: Service
    proxy: FaultProxy

    def uploads(self) -> list[Path]:
        """What the service has spooled."""
        return list((self.service.home / "uploads").iterdir())


@pytest.fixture(scope="module")
def running(s3_server: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    keys = (s3_server.access_key, s3_server.secret_key)
    with fault_proxy(s3_server.endpoint, signing_keys=keys) as proxy:
        # Such a store there is: it takes these headers and does nothing about them.
        proxy.ignored_headers = {"if-none-match", "content-md5"}
        given = {
            "BUCKET": "wherry-trouble",
            "PREFIX": uuid.uuid4().hex,
            "ENDPOINT": proxy.url,
            "ACCESS_KEY": keys[0],
            "SECRET_KEY": keys[1],
        }
        service = Service(home, {f"WHERRY_S3_{name}": value for name, value in given.items()})
        service.wherry("up", cwd=home).expect(0)
        yield World(service, proxy)
        proxy.always.clear()
        service.wherry("down", cwd=home).expect(0)


@pytest.fixture
def world(running: World) -> Iterator[World]:
    running.proxy.requests.clear()
    yield running
    running.proxy.always.clear()
    running.proxy.faults.clear()


@pytest.fixture
def project(world: World, tmp_path: Path) -> Project:
    return new_project(tmp_path / "project", world.service, {"dvc.yaml": PIPELINE, "in": uuid.uuid4().hex})


def test_doctor_says_what_a_store_lacks_and_the_service_works_without(project: Project) -> None:
    checks = project.wherry("doctor", "--json").expect(0).json()["checks"]
    found = {check["name"]: check for check in checks if check["name"].startswith("store.")}

    lacking = {"store.md5", "store.signed_md5", "store.only_new", "store.only_new_copy"}
    assert {name for name, check in found.items() if check["state"] != "ok"} == lacking
    assert all(found[name]["hint"] for name in lacking)
    assert found["store.md5"]["message"] == "the store does not: it refuses a body without its Content-MD5"
    assert states(project.repro()) == {"copy": ("succeeded", "miss")}


@pytest.mark.parametrize(
    ("fault", "said", "hint"),
    [
        (Fault(status=403, code="AccessDenied", method="PUT", mark="/files/md5/"), "AccessDenied", "keys"),
        (Fault(status=507, code="QuotaExceeded", method="PUT", mark="/files/md5/"), "QuotaExceeded", "room"),
    ],
)
def test_a_refusal_in_the_middle_is_told_with_what_to_do_and_nothing_is_lost(
    project: Project, world: World, fault: Fault, said: str, hint: str
) -> None:
    world.proxy.always.append(fault)
    refused = project.wherry("repro")
    world.proxy.always.clear()

    assert refused.code != 0
    assert said in refused.err + refused.out
    assert hint in refused.err + refused.out
    until(lambda: world.uploads() == [])
    assert states(project.repro()) == {"copy": ("succeeded", "miss")}


def test_answers_that_fail_or_stay_away_for_a_while_are_not_noticed(project: Project, world: World) -> None:
    world.proxy.faults.extend(
        [
            Fault(status=500, method="PUT", mark="/files/md5/"),
            Fault(status=503, code="SlowDown", method="PUT", mark="/files/md5/"),
            Fault(drop=True, method="PUT", mark="/files/md5/"),
            Fault(delay_s=3, method="PUT", mark="/files/md5/"),
            Fault(cut_after=3, method="GET", mark="/files/md5/"),
        ]
    )
    assert states(project.repro("--pull", "all")) == {"copy": ("succeeded", "miss")}
    assert [fault for fault in world.proxy.faults if fault.method == "PUT"] == []
    assert (project.root / "out").read_bytes() == (project.root / "in").read_bytes()


@pytest.mark.parametrize("size_bytes", [100, 24 * MIB], ids=["small", "large"])
def test_two_clients_that_upload_the_same_at_once_both_succeed(
    world: World, tmp_path: Path, size_bytes: int
) -> None:
    content = random.Random(uuid.uuid4().int).randbytes(size_bytes)
    projects = [
        new_project(tmp_path / name, world.service, {"dvc.yaml": PIPELINE}) for name in ("one", "two")
    ]
    for project in projects:
        (project.root / "in").write_bytes(content)
        project.dvc("add", "-q", "in").expect(0)
        project.commit()
    clients = [
        subprocess.Popen(
            [WHERRY, "repro", "--pull", "all"],
            cwd=project.root,
            env=project.service.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for project in projects
    ]
    said = [client.communicate(timeout=200)[0] for client in clients]

    assert [client.returncode for client in clients] == [0, 0], said
    assert [(project.root / "out").read_bytes() == content for project in projects] == [True, True]
    until(lambda: world.uploads() == [])
    checked = projects[0].wherry("cache", "fsck", "--full", "--json").expect(0).json()
    assert checked["faults"] == []


def test_what_dvc_gc_took_from_the_bucket_is_made_again_in_the_same_run(world: World, tmp_path: Path) -> None:
    pipeline = (
        "stages:\n"
        "  make: {cmd: mkdir folder && cp in folder/a && date > folder/b, deps: [in], outs: [folder]}\n"
        "  use: {cmd: cat folder/a > sum, deps: [folder], outs: [sum]}\n"
    )
    content = uuid.uuid4().hex
    project = new_project(tmp_path / "project", world.service, {"dvc.yaml": pipeline, "in": content})
    project.repro()
    project.commit("made")
    project.wherry("dvc-remote", "--write").expect(0)

    # Somebody whose workspace has none of it collects in the bucket.
    other = project.clone(tmp_path / "other", user="ben")
    other.wherry("dvc-remote", "--write").expect(0)
    git(other.root, "rm", "-q", "-r", "dvc.yaml", "dvc.lock")
    other.dvc("gc", "-w", "-c", "-f").expect(0)
    node = world.service.home / "node" / "files"
    for copy in [path for path in node.rglob("*") if path.is_file()]:
        copy.unlink()

    project.write({"dvc.yaml": pipeline.replace("cat folder/a", "cat folder/a folder/a")})
    again = project.repro()
    project.wherry("pull").expect(0)

    assert states(again) == {"make": ("succeeded", "miss"), "use": ("succeeded", "miss")}
    assert (project.root / "sum").read_text() == 2 * content


def _without_rights_of_root(project: Project, *command: str) -> Finished:
    """Root reads every file: without two of its capabilities it does not."""
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    return run([*drop, WHERRY, *command], cwd=project.root, env=project.service.environment())


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(project: Project) -> None:
    project.write({"locked": "x"})
    (project.root / "locked").chmod(0)

    refused = _without_rights_of_root(project, "repro")

    assert refused.code != 0
    assert "cannot read locked: Permission denied" in refused.err
    assert ".dvcignore" in refused.err


def test_a_full_disk_of_the_service_is_told_and_nothing_is_left(
    s3_server: SeaweedServer, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "uploads").mkdir(parents=True)
    settings = {
        "WHERRY_S3_BUCKET": "wherry-trouble",
        "WHERRY_S3_PREFIX": uuid.uuid4().hex,
        "WHERRY_S3_ENDPOINT": s3_server.endpoint,
        # Clients do not reach it there, so that content passes through the service.
        "WHERRY_S3_PUBLIC_ENDPOINT": "http://127.0.0.1:9",
        "WHERRY_S3_ACCESS_KEY": s3_server.access_key,
        "WHERRY_S3_SECRET_KEY": s3_server.secret_key,
    }
    service = Service(home, settings)
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    mount = f'mount -t tmpfs -o size=4m none "{home}/uploads" && exec "$@"'
    run([*unshare, "sh", "-c", mount, "sh", WHERRY, "up"], cwd=home, env=service.environment()).expect(0)
    try:
        project = new_project(tmp_path / "project", service, {"dvc.yaml": PIPELINE})
        (project.root / "in").write_bytes(random.randbytes(16 * MIB))

        refused = project.wherry("repro")
        log = (home / "service.log").read_text()
        spool = Path(f"/proc/{_pid_of(service)}/root{home}/uploads")
        until(lambda: not list(spool.iterdir()))
        (project.root / "in").write_bytes(b"short")
        small = project.repro()
    finally:
        service.wherry("down", cwd=home).expect(0)

    assert refused.code != 0
    assert "the service's disk is full" in refused.err
    assert "WHERRY_HOME" in refused.err
    assert "Traceback" not in log
    assert states(small) == {"copy": ("succeeded", "miss")}


def _pid_of(service: Service) -> int:
    pid: int = service.wherry("service", "status", "--json", cwd=service.home).expect(0).json()["pid"]
    return pid
