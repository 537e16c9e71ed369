"""The service as it is shipped: in its image, with the engine of the host."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import REPOSITORY, Project, Service, new_project, run, states

IMAGE = "wherry/service:test"
STAGES = {
    "dvc.yaml": "stages:\n  one: {cmd: cp a b, deps: [a], outs: [b]}\n  two: {cmd: cat b b > c, deps: [b], outs: [c]}\n",
    "a": "in the image\n",
}


@pytest.fixture
def shipped(tmp_path: Path) -> Iterator[Service]:
    home = tmp_path / "home"
    home.mkdir()
    run([REPOSITORY / "scripts" / "service-image.sh", IMAGE], cwd=REPOSITORY).expect(0)
    socket = "/var/run/docker.sock"
    settings = ("-e", f"WHERRY_HOME={home}", "-e", "WHERRY_LISTEN=127.0.0.1:0")
    mounts = ("-v", f"{socket}:{socket}", "-v", f"{home}:{home}")
    command = ["docker", "run", "-d", "--rm", "--network", "host", *mounts, *settings, IMAGE]
    started = run(command, cwd=tmp_path).expect(0)
    container = started.out.strip()
    try:
        deadline = time.monotonic() + 90
        while not (home / "service.json").exists():
            log = run(["docker", "logs", container], cwd=tmp_path)
            assert log.code == 0, "the container has ended"
            assert time.monotonic() < deadline, log.out + log.err
            threading.Event().wait(0.1)
        yield Service(home)
    finally:
        run(["docker", "stop", "--time", "30", container], cwd=tmp_path)


def test_a_pipeline_runs_through_the_service_in_its_image(shipped: Service, tmp_path: Path) -> None:
    facts = json.loads((shipped.home / "service.json").read_text())
    project = new_project(tmp_path / "project", shipped, STAGES)

    first, second = project.repro("--pull", "all"), Project(project.root, shipped, "ben").repro()

    assert facts["pid"] == 1, "it runs in a container"
    assert states(first) == {"one": ("succeeded", "miss"), "two": ("succeeded", "miss")}
    assert states(second) == {"one": ("succeeded", "hit"), "two": ("succeeded", "hit")}
    assert (project.root / "c").read_text() == "in the image\n" * 2
