"""The Docker engine is killed, and started again, under stages that run: no stage is blamed, and the run succeeds."""

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import UNTIL_GO, WHERRY, Service, new_project
from tests.killed_engine import KilledEngine, killed_engine
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer

_DEADLINE_S = 120
IMAGE = "wherry/small:1"

FILES = {
    "dvc.yaml": "stages:\n"
    f"  one: {{cmd: 'echo began; {UNTIL_GO}; echo done; cp seed a', deps: [seed], outs: [a]}}\n"
    "  two: {cmd: cp a b, deps: [a], outs: [b]}\n",
    ".dvc/wherry.toml": f'[defaults]\nimage = "{IMAGE}"\npull = "never"\nnetwork = false\n',
}


@pytest.fixture
def engine() -> Iterator[KilledEngine]:
    with killed_engine() as engine:
        engine.make_image(IMAGE)
        yield engine


@pytest.fixture
def service(tmp_path: Path, s3_server: SeaweedServer, engine: KilledEngine) -> Iterator[Service]:
    home = tmp_path / "home"
    home.mkdir()
    service = Service(
        home,
        {
            "DOCKER_HOST": engine.host,
            "WHERRY_NETWORK_LIMIT": "deny",
            "WHERRY_BUILD_NETWORK": "false",
            "WHERRY_S3_BUCKET": "wherry-tests",
            "WHERRY_S3_PREFIX": uuid.uuid4().hex,
            "WHERRY_S3_ENDPOINT": s3_server.endpoint,
            "WHERRY_S3_ACCESS_KEY": s3_server.access_key,
            "WHERRY_S3_SECRET_KEY": s3_server.secret_key,
        },
    )
    service.wherry("up", cwd=home).expect(0)
    yield service
    service.wherry("down", cwd=home).expect(0)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_engine_that_is_killed_or_stopped_under_a_stage_costs_the_stage_nothing(
    service: Service, engine: KilledEngine, tmp_path: Path
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
