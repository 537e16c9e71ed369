"""Clients that are killed, or whose file changes, in the middle of moving it: noticed, and nothing is half-written."""

import contextlib
import os
import random
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest

from tests.e2e.harness import WHERRY, Project, Service, new_project, states
from tests.stalling_proxy import StallingProxy, stalling_proxy
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer

_MIB = 1024 * 1024
# Several times what the sockets on the way hold: of what stands still a client has not sent, or got, all.
_SIZE = 96 * _MIB
_STALLS_AFTER = _MIB
_DEADLINE_S = 120


@pytest.fixture(scope="module")
def way(s3_server: SeaweedServer) -> Iterator[StallingProxy]:
    """What is between clients and the bucket."""
    with stalling_proxy(urlsplit(s3_server.endpoint).netloc, after=_STALLS_AFTER) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, s3_server: SeaweedServer, way: StallingProxy
) -> Iterator[Service]:
    """A service whose clients reach the bucket by that way."""
    home = tmp_path_factory.mktemp("home")
    settings = {
        "WHERRY_S3_BUCKET": "wherry-tests",
        "WHERRY_S3_PREFIX": uuid.uuid4().hex,
        "WHERRY_S3_ENDPOINT": s3_server.endpoint,
        "WHERRY_S3_PUBLIC_ENDPOINT": way.url,
        "WHERRY_S3_ACCESS_KEY": s3_server.access_key,
        "WHERRY_S3_SECRET_KEY": s3_server.secret_key,
    }
    service = Service(home, settings)
    service.wherry("up", cwd=home).expect(0)
    yield service
    service.wherry("down", cwd=home).expect(0)


@pytest.fixture
def project(service: Service, tmp_path: Path) -> Project:
    """A project with a large tracked file that was hashed before."""
    project = new_project(
        tmp_path / "project",
        service,
        {"dvc.yaml": "stages:\n  use: {cmd: wc -c < big > out, deps: [big], outs: [out]}\n"},
    )
    # Of this test alone: the tests share the store.
    (project.root / "big").write_bytes(random.randbytes(_MIB) * (_SIZE // _MIB))
    project.dvc("add", "-q", "big").expect(0)
    # Adding may write the file anew, and what was written in the last two seconds is hashed again each time.
    os.utime(project.root / "big", (1e9, 1e9))
    project.commit()
    project.wherry("status").expect(0)
    return project


def until(condition: Callable[[], bool], client: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert client.poll() is None, "it ended too soon"
        assert time.monotonic() < deadline
        Event().wait(0.02)


@contextlib.contextmanager
def stalled(
    project: Project, way: StallingProxy, *command: str, spared: int = 0
) -> "Iterator[subprocess.Popen[str]]":
    """A client in the middle of what it moves; it is killed at the end."""
    way.stall(spared=spared)
    client = subprocess.Popen(
        [WHERRY, *command],
        cwd=project.root,
        env=project.service.environment(project.user),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(way.stalled.is_set, client)
        yield client
    finally:
        client.kill()
        client.communicate(timeout=_DEADLINE_S)
        way.let_go()


def test_an_upload_that_was_killed_is_done_again(project: Project, way: StallingProxy) -> None:
    with stalled(project, way, "repro"):
        pass
    run = project.repro("--pull", "all")

    assert states(run) == {"use": ("succeeded", "miss")}
    assert (project.root / "out").read_text() == f"{_SIZE}\n"


def test_a_file_that_changes_while_it_is_sent_is_named(project: Project, way: StallingProxy) -> None:
    big = project.root / "big"

    with stalled(project, way, "repro") as client:
        with big.open("r+b") as file:
            file.seek(_SIZE - 1)
            file.write(b"x")
        way.let_go()
        _, said = client.communicate(timeout=_DEADLINE_S)

    assert client.returncode not in {0, None}
    assert "big changed while it was being uploaded" in said
    assert "nothing was submitted" in said
    project.dvc("add", "-q", "big").expect(0)
    project.commit()
    assert states(project.repro()) == {"use": ("succeeded", "miss")}


def test_a_pull_that_was_killed_goes_on_and_leaves_nothing_half_written(
    project: Project, way: StallingProxy, tmp_path: Path
) -> None:
    project.repro()
    laptop = project.clone(tmp_path / "laptop", user="ben")
    incoming = laptop.root / ".dvc/tmp/wherry/incoming"

    def has_some() -> bool:
        return any(b"\1" in journal.read_bytes() for journal in incoming.glob("*.come"))

    # One of its connections brings parts of the file, while another stands still.
    with stalled(laptop, way, "pull", "big", spared=1) as client:
        until(has_some, client)
    final = [path for path in laptop.root.rglob("*") if path.is_file() and path.stat().st_size >= _MIB]
    laptop.wherry("pull", "big").expect(0)

    assert [path.parent for path in final] == [incoming] * len(final), "nothing under a final name"
    assert final, "what has come is kept"
    assert (laptop.root / "big").read_bytes() == (project.root / "big").read_bytes()
    assert (laptop.root / "big").stat().st_mode & 0o200, "it may be edited"
    assert list(incoming.iterdir()) == []
    assert laptop.dvc("status", "big.dvc").expect(0).out == "Data and pipelines are up to date.\n"
