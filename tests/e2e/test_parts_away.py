"""The database or the S3 server is away for a while under a run: nothing is lost, and no stage is blamed or run twice."""

import asyncio
import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, make_url

from tests.e2e.harness import UNTIL_GO, WHERRY, Project, Service, new_project, run, states, until
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.ports import unused_port
from tests.postgres_cluster import PostgresCluster
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer

_DEADLINE_S = 180
# How often PostgreSQL ends all connections, five times a second: under stages that run, and while what they made is kept.
_TIMES = 15
_UNDER_STAGES = 5
MIB = 1024 * 1024
SETTINGS = '[defaults]\nimage = "wherry/base:bookworm"\nnetwork = false\n'

# Written once for each execution: another number every time.
NUMBER = "cat /proc/sys/kernel/random/uuid"


class KilledStore:
    """An S3 server that is no child of the service, always at one address."""

    def __init__(self, folder: Path, port: int) -> None:
        self.server = SeaweedServer(folder, port=port)
        self._folder = folder

    def start(self) -> None:
        asyncio.run(self.server.start())

    def kill(self) -> None:
        """End it at once, and return when it is gone."""
        os.kill(int((self._folder / "weed.pid").read_text()), signal.SIGKILL)
        asyncio.run(self.server.stop())

    def stored_bytes(self) -> int:
        """What its volumes take."""
        return sum(file.stat().st_size for file in (self._folder / "data").rglob("*.dat"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KilledStore]:
    store = KilledStore(tmp_path_factory.mktemp("killed"), unused_port())
    store.start()
    yield store
    asyncio.run(store.server.stop())


@pytest.fixture(scope="module")
def database(postgres: PostgresCluster) -> URL:
    """A PostgreSQL database of its own."""
    return make_url(postgres.new_database())


@pytest.fixture(scope="module")
def proxy(store: KilledStore) -> Iterator[FaultProxy]:
    """What stands before the S3 server: what is sent can be held, so that it is killed in the middle of it."""
    with fault_proxy(store.server.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def on_postgres(
    tmp_path_factory: pytest.TempPathFactory, store: KilledStore, proxy: FaultProxy, database: URL
) -> Iterator[Service]:
    """A service on that database, and on the S3 server that is killed."""
    home, server = tmp_path_factory.mktemp("home"), store.server
    settings = {
        "WHERRY_DATABASE_URL": database.render_as_string(),
        "WHERRY_S3_BUCKET": "wherry-tests",
        "WHERRY_S3_PREFIX": uuid.uuid4().hex,
        "WHERRY_S3_ENDPOINT": proxy.url,
        "WHERRY_S3_ACCESS_KEY": server.access_key,
        "WHERRY_S3_SECRET_KEY": server.secret_key,
    }
    service = Service(home, settings)
    service.wherry("up", cwd=home).expect(0)
    yield service
    service.wherry("down", cwd=home).expect(0)


def is_running(service: Service) -> bool:
    """Whether a container of a stage is."""
    labels = ("label=wherry.attempt", f"label=wherry.path={service.home}")
    ours = [word for label in labels for word in ("--filter", label)]
    listed = run(["docker", "ps", "-q", *ours], cwd=service.home)
    return bool(listed.expect(0).out.split())


def begin(project: Project) -> "subprocess.Popen[str]":
    """Reproduce, and watch."""
    return subprocess.Popen(
        [WHERRY, "repro", "--json"],
        cwd=project.root,
        env=project.service.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(watching: "subprocess.Popen[str]") -> Any:
    out, err = watching.communicate(timeout=_DEADLINE_S)
    assert watching.returncode == 0, out + err
    return json.loads(out)


def numbers(project: Project, shown: Any, *stages: str) -> list[str]:
    """What the executions of stages wrote, one for each."""
    told = project.wherry("logs", shown["id"], *stages).expect(0).out
    return re.findall(r"(?m)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", told)


def test_an_s3_server_that_is_killed_under_a_stage_and_while_its_output_is_kept(
    on_postgres: Service, store: KilledStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    seed = uuid.uuid4().hex
    files = {
        "dvc.yaml": "stages:\n"
        f"  one: {{cmd: '{NUMBER}; {UNTIL_GO}; head -c 32M /dev/urandom >a', deps: [seed], outs: [a]}}\n"
        "  two: {cmd: md5sum <a >b, deps: [a], outs: [b]}\n",
        ".dvc/wherry.toml": SETTINGS,
        "seed": seed,
    }
    project = new_project(tmp_path / "project", on_postgres, files)
    watching = begin(project)

    until(lambda: is_running(on_postgres))
    before = store.stored_bytes()
    store.kill()
    store.start()
    proxy.faults.append(Fault(method="PUT", mark="/files/md5/", hold_after=16 * MIB))
    on_postgres.let_go(seed)
    until(lambda: proxy.held.is_set() and store.stored_bytes() > before + MIB)
    store.kill()
    going = project.wherry("ps", "--json").expect(0).json()["runs"][0]
    meanwhile = project.wherry("show", going["id"], "--json").expect(0).json()
    proxy.resumed.set()
    store.start()
    shown = ended(watching)
    project.wherry("pull").expect(0)

    assert states(meanwhile)["one"][0] == "running"
    assert states(shown) == {"one": ("succeeded", "miss"), "two": ("succeeded", "miss")}
    assert len(numbers(project, shown, "one")) == 1
    digest = hashlib.md5((project.root / "a").read_bytes(), usedforsecurity=False).hexdigest()
    assert (project.root / "b").read_text().split()[0] == digest
    assert project.wherry("cache", "fsck", "--full", "--json").expect(0).json()["faults"] == []


def test_a_database_that_another_program_locks_is_waited_for(service: Service, tmp_path: Path) -> None:
    seed = uuid.uuid4().hex
    files = {
        "dvc.yaml": "stages:\n"
        f"  one: {{cmd: '{NUMBER} | tee a; {UNTIL_GO}', deps: [seed], outs: [a]}}\n"
        "  two: {cmd: cp a b, deps: [a], outs: [b]}\n",
        ".dvc/wherry.toml": SETTINGS,
        "seed": seed,
    }
    project = new_project(tmp_path / "project", service, files)
    watching = begin(project)

    until(lambda: is_running(service))
    # The stage ends, and its output is kept, while nothing can be written or read.
    with closing(sqlite3.connect(service.home / "wherry.db", _DEADLINE_S, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        service.let_go(seed)
        until(lambda: not is_running(service))
        other.execute("ROLLBACK")
    shown = ended(watching)
    project.wherry("pull").expect(0)

    assert states(shown) == {"one": ("succeeded", "miss"), "two": ("succeeded", "miss")}
    (number,) = numbers(project, shown, "one")
    assert (project.root / "b").read_text() == f"{number}\n"


def test_a_postgresql_that_ends_all_its_connections_again_and_again_loses_nothing(
    on_postgres: Service, database: URL, tmp_path: Path
) -> None:
    names = [f"s{number}" for number in range(4)]
    stages = [
        f"  {name}: {{cmd: '{NUMBER} | tee {name}; {UNTIL_GO}', deps: [seed], outs: [{name}]}}\n"
        for name in names
    ]
    seed = uuid.uuid4().hex
    files = {
        "dvc.yaml": "stages:\n" + "".join(stages),
        ".dvc/wherry.toml": SETTINGS,
        "seed": seed,
    }
    project = new_project(tmp_path / "project", on_postgres, files)
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    killed = 0
    watching = begin(project)
    until(lambda: is_running(on_postgres))
    with psycopg.connect(
        host=str(database.query["host"]), user="postgres", dbname="postgres", autocommit=True
    ) as operator:
        for time_ in range(_TIMES):
            killed += len(operator.execute(kill, [database.database]).fetchall())
            if time_ >= _UNDER_STAGES:
                on_postgres.let_go(seed)
            with suppress(subprocess.TimeoutExpired):
                watching.wait(0.2)

    def has_ended() -> bool:
        # Not all stages run at once.
        on_postgres.let_go(seed)
        return watching.poll() is not None

    until(has_ended)
    shown = ended(watching)
    project.wherry("pull").expect(0)
    written = numbers(project, shown)

    assert killed > 0
    assert states(shown) == dict.fromkeys(names, ("succeeded", "miss"))
    assert sorted(written) == sorted((project.root / name).read_text().strip() for name in names)
