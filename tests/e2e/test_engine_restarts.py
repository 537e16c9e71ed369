"""The Docker engine is killed under stages that run and wait: no stage is blamed, and the run succeeds if the engine is back in time."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import UNTIL_GO, WHERRY, Service, new_project, until
from tests.own_engine import OwnEngine, own_engine
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer

_DEADLINE_S = 180
IMAGE = "wherry/small:1"

FILES = {
    "dvc.yaml": "stages:\n"
    f"  one: {{cmd: 'echo began; {UNTIL_GO}; echo done; cp seed a', deps: [seed], outs: [a]}}\n"
    "  two: {cmd: cp a b, deps: [a], outs: [b]}\n",
    ".dvc/wherry.toml": f'[defaults]\nimage = "{IMAGE}"\npull = "never"\nnetwork = false\n',
}


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    with own_engine() as engine:
        engine.make_image(IMAGE)
        yield engine


# The clock of a service whose patience a test has: it waits a hundredth of the time.
_HASTY = """
import asyncio
from wherry.service.adapters.clock_system import SystemClock
async def sleep(self, seconds):
    await asyncio.sleep(seconds / 100)
SystemClock.sleep = sleep
from wherry.service.__main__ import main
main()
"""


@pytest.fixture
def settings(s3_server: SeaweedServer, engine: OwnEngine) -> dict[str, str]:
    return {
        "DOCKER_HOST": engine.host,
        "WHERRY_NETWORK_LIMIT": "deny",
        "WHERRY_BUILD_NETWORK": "false",
        "WHERRY_S3_BUCKET": "wherry-tests",
        "WHERRY_S3_PREFIX": uuid.uuid4().hex,
        "WHERRY_S3_ENDPOINT": s3_server.endpoint,
        "WHERRY_S3_ACCESS_KEY": s3_server.access_key,
        "WHERRY_S3_SECRET_KEY": s3_server.secret_key,
    }


@pytest.fixture
def service(tmp_path: Path, settings: dict[str, str]) -> Iterator[Service]:
    service = Service(tmp_path / "home", settings)
    service.home.mkdir()
    service.wherry("up", cwd=service.home).expect(0)
    yield service
    service.wherry("down", cwd=service.home).expect(0)


@pytest.fixture
def hasty(tmp_path: Path, settings: dict[str, str]) -> Iterator[Service]:
    """A service that runs one stage at a time, and soon loses patience."""
    service = Service(tmp_path / "home", {**settings, "WHERRY_JOBS": "1"})
    service.home.mkdir()
    process = start(service, "-c", _HASTY)
    yield service
    process.terminate()
    try:
        process.wait(_DEADLINE_S)
    finally:
        process.kill()


def start(service: Service, *program: str, fault_at: str = "") -> "subprocess.Popen[bytes]":
    """Start it as a child, in which the test can do what it likes; returns when it answers."""
    with (service.home / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *program, "--home", str(service.home)],
            env={**service.environment(), "WHERRY_FAULT_AT": fault_at},
            stdout=log,
            stderr=log,
        )
    until(lambda: service.wherry("service", "status", cwd=service.home).code == 0)
    return process


def test_an_engine_that_is_killed_or_stopped_under_a_stage_costs_the_stage_nothing(
    service: Service, engine: OwnEngine, tmp_path: Path
) -> None:
    seed = uuid.uuid4().hex
    project = new_project(tmp_path / "project", service, {**FILES, "seed": seed})
    watching = subprocess.Popen(
        [WHERRY, "repro", "--json"],
        cwd=project.root,
        env=service.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    until(lambda: bool(engine.running()))
    first = engine.running()
    engine.kill()
    engine.start()
    until(lambda: bool(set(engine.running()) - set(first)))
    engine.stop()
    engine.start()

    def has_ended() -> bool:
        # The third attempt is the first that may.
        service.let_go(seed)
        return watching.poll() is not None

    until(has_ended)
    out, err = watching.communicate(timeout=_DEADLINE_S)

    assert watching.returncode == 0, out + err
    shown = json.loads(out)
    assert {stage["state"] for stage in shown["stages"]} == {"succeeded"}
    told = project.wherry("logs", shown["id"], "one").expect(0).out
    own = [line for line in told.splitlines() if line in {"began", "done"}]
    assert own[-2:] == ["began", "done"]
    assert told.count("it is tried again") >= 2
    assert engine.running() == []
    assert list((service.home / "workspaces").iterdir()) == []


def test_an_engine_that_stays_away_ends_the_run_as_lost_and_says_so(
    hasty: Service, engine: OwnEngine, tmp_path: Path
) -> None:
    waiting = "stages:\n" + "".join(
        f"  {name}: {{cmd: 'echo began; sleep 600; cp seed {name}', deps: [seed], outs: [{name}]}}\n"
        for name in ("one", "two")
    )
    files = {**FILES, "dvc.yaml": waiting, "seed": uuid.uuid4().hex}
    project = new_project(tmp_path / "project", hasty, files)
    begun = project.wherry("repro", "--keep-going", "--detach", "--json").expect(0).json()["id"]

    until(lambda: bool(engine.running()))
    engine.kill()
    ended = project.wherry("wait", begun)
    shown = project.wherry("show", begun, "--json").expect(0).json()
    told = project.wherry("logs", begun).expect(0).out
    engine.start()

    assert ended.code == 75, ended.out + ended.err
    assert shown["state"] == "lost", shown
    assert {stage["state"] for stage in shown["stages"]} == {"lost"}
    for stage in shown["stages"]:
        assert "the Docker engine does not answer" in stage["reason"]
    assert told.count("it is tried again") > 10
    # What it left is cleared away as soon as the engine is back.
    until(lambda: engine.running() == [] and not list((hasty.home / "workspaces").iterdir()))


def test_what_had_ended_before_service_and_engine_were_killed_is_collected_and_not_run_again(
    tmp_path: Path, settings: dict[str, str], engine: OwnEngine
) -> None:
    service = Service(tmp_path / "home", settings)
    service.home.mkdir()
    dying = start(service, "-m", "wherry.service", fault_at="collecting")
    ran = {"dvc.yaml": "stages:\n  one: {cmd: 'echo ran; cp seed a', deps: [seed], outs: [a]}\n"}
    project = new_project(tmp_path / "project", service, {**FILES, **ran, "seed": uuid.uuid4().hex})
    begun = project.wherry("repro", "--detach", "--json").expect(0).json()["id"]

    assert dying.wait(_DEADLINE_S) == -signal.SIGKILL
    engine.kill()
    engine.start()
    service.wherry("up", cwd=service.home).expect(0)
    project.wherry("wait", begun).expect(0)
    told = project.wherry("logs", begun).expect(0).out
    service.wherry("down", cwd=service.home).expect(0)

    assert told.split().count("ran") == 1, told
    assert "it is tried again" not in told
    assert list((service.home / "workspaces").iterdir()) == []
