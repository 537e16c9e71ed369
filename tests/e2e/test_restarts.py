"""A service that is killed, or stopped, and started again: runs go on, nothing is lost or done twice."""

import hashlib
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.harness import UNTIL_GO, WHERRY, Project, Service, new_project, run, states, until
from tests.registry import forget_images, running_registry, shell_files
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer

# From the first to the last point of an attempt, and on what is found of it then.
POINTS = ("queued", "fetching", "writing", "collecting", "publishing", "published")
_DEADLINE_S = 180

# Written once for each execution: another number every time.
NUMBER = "cat /proc/sys/kernel/random/uuid"
FILES = {
    "dvc.yaml": "stages:\n"
    "  before: {cmd: cp seed a, deps: [seed], outs: [a]}\n"
    f"  long: {{cmd: '{NUMBER} | tee b; {UNTIL_GO}; echo second; echo third >&2', deps: [a], outs: [b]}}\n"
    "  after: {cmd: cp b c, deps: [b], outs: [c]}\n",
    ".dvc/wherry.toml": '[defaults]\nimage = "wherry/base:bookworm"\nnetwork = false\n',
}


class Restarted:
    """A service of its own, which dies and comes back."""

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self.service = Service(home, settings)

    def up(self) -> None:
        self.service.wherry("up", cwd=self.service.home).expect(0)

    def down(self) -> None:
        self.service.wherry("down", cwd=self.service.home).expect(0)

    def start(self, point: str) -> "subprocess.Popen[bytes]":
        """Start it so that it kills itself at a point."""
        with (self.service.home / "service.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "wherry.service", "--home", str(self.service.home)],
                env={**self.service.environment(), "WHERRY_FAULT_AT": point},
                stdout=log,
                stderr=log,
            )

    def answers(self) -> bool:
        return self.service.wherry("service", "status", cwd=self.service.home).code == 0

    def containers(self, stage: str) -> list[str]:
        labels = (f"label=wherry.stage={stage}", f"label=wherry.path={self.service.home}")
        ours = [word for label in labels for word in ("--filter", label)]
        listed = run(["docker", "ps", "-aq", *ours], cwd=self.service.home).expect(0)
        return listed.out.split()


@pytest.fixture
def restarted(tmp_path: Path, s3_server: SeaweedServer) -> Iterator[Restarted]:
    """Beside its own store: that is not what dies here."""
    home = tmp_path / "home"
    home.mkdir()
    one = Restarted(
        home,
        {
            "WHERRY_S3_BUCKET": "wherry-tests",
            "WHERRY_S3_PREFIX": uuid.uuid4().hex,
            "WHERRY_S3_ENDPOINT": s3_server.endpoint,
            "WHERRY_S3_ACCESS_KEY": s3_server.access_key,
            "WHERRY_S3_SECRET_KEY": s3_server.secret_key,
        },
    )
    yield one
    one.down()


def test_a_run_survives_a_service_that_is_killed_at_every_point_of_it_and_so_does_who_watches(
    restarted: Restarted, tmp_path: Path
) -> None:
    restarted.up()
    seed = uuid.uuid4().hex
    project = new_project(tmp_path / "project", restarted.service, {**FILES, "seed": seed})
    project.repro("before")
    restarted.down()
    dying = restarted.start(POINTS[0])
    until(restarted.answers)
    watching = subprocess.Popen(
        [WHERRY, "repro"],
        cwd=project.root,
        env=restarted.service.environment(project.user),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    for point in POINTS[1:]:
        assert dying.wait(timeout=_DEADLINE_S) == -signal.SIGKILL
        dying = restarted.start(point)
        if point == "collecting":
            # It finds the stage running, and sees it end.
            until(restarted.answers)
            restarted.service.let_go(seed)
    assert dying.wait(timeout=_DEADLINE_S) == -signal.SIGKILL
    restarted.up()
    seen, _ = watching.communicate(timeout=_DEADLINE_S)
    ended = project.wherry("ps", "--all", "--json").expect(0).json()["runs"][0]
    shown = project.wherry("show", ended["id"], "--json").expect(0).json()
    told = project.wherry("logs", ended["id"], "long").expect(0).out
    # What was being kept with the result when the service died is there too.
    again = project.repro()["id"]
    replayed = project.wherry("logs", again, "long").expect(0).out

    assert watching.returncode == 0, seen
    assert states(shown) == {
        "before": ("succeeded", "hit"),
        "long": ("succeeded", "miss"),
        "after": ("succeeded", "miss"),
    }
    (made,) = next(stage for stage in shown["stages"] if stage["name"] == "long")["outs"]
    for log in (seen, told, replayed):
        (number,) = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", log)
        assert hashlib.md5(f"{number}\n".encode(), usedforsecurity=False).hexdigest() == made["md5"]
        # Their own lines: the command itself is shown once for each attempt that was made.
        assert [len(re.findall(rf"(?m)\b{word}$", log)) for word in ("second", "third")] == [1, 1]
    assert restarted.containers("long") == []
    assert list((restarted.service.home / "workspaces").iterdir()) == []


def test_of_two_who_wait_for_one_execution_both_have_each_line_once_though_the_service_is_killed_before_and_after_its_end(
    restarted: Restarted, tmp_path: Path
) -> None:
    seed = uuid.uuid4().hex
    slow = f"echo first; echo odd >&2; {UNTIL_GO}; echo last; {NUMBER} > out"
    files = {
        "dvc.yaml": f"stages:\n  slow: {{cmd: '{slow}', deps: [seed], outs: [out]}}\n",
        ".dvc/wherry.toml": FILES[".dvc/wherry.toml"],
        "seed": seed,
    }
    dying = restarted.start("nowhere")
    until(restarted.answers)
    project = new_project(tmp_path / "project", restarted.service, files)
    laptop = project.clone(tmp_path / "laptop", user="ben")
    runs = []
    for one in (project, laptop):
        runs.append(one.wherry("repro", "--detach", "--json").expect(0).json()["id"])
        until(lambda: words(project, runs[-1], "first", "odd") == [1, 1])

    dying.kill()
    dying.wait(timeout=_DEADLINE_S)
    dying = restarted.start("published")
    until(restarted.answers)
    restarted.service.let_go(seed)
    assert dying.wait(timeout=_DEADLINE_S) == -signal.SIGKILL
    restarted.up()
    for one in runs:
        project.wherry("wait", one).expect(0)
    shown = [project.wherry("show", one, "--json").expect(0).json() for one in runs]

    # Whose it is then is the one who came first after the restart.
    assert sorted(states(one)["slow"] for one in shown) == [("succeeded", "hit"), ("succeeded", "miss")]
    assert shown[0]["stages"][0]["outs"] == shown[1]["stages"][0]["outs"]
    for one in runs:
        assert words(project, one, "first", "odd", "last") == [1, 1, 1]
    assert restarted.containers("slow") == []


def words(project: Project, run_id: str, *wanted: str) -> list[int]:
    told = project.wherry("logs", run_id, "slow").expect(0).out
    return [len(re.findall(rf"(?m)\b{word}$", told)) for word in wanted]


def test_a_run_keeps_its_image_over_a_restart_though_its_tag_moves(
    restarted: Restarted, tmp_path: Path
) -> None:
    with running_registry() as registry:
        first = registry.put("team/tool:1", {**shell_files(), "word": b"first\n"})
        files = {
            "dvc.yaml": "stages:\n"
            "  one: {cmd: echo began; read word </word; echo $word >a, deps: [seed], outs: [a]}\n"
            "  two: {cmd: read word </word; echo $word >b, deps: [a], outs: [b]}\n",
            ".dvc/wherry.toml": f'[defaults]\nimage = "{registry.host}/team/tool:1"\nnetwork = false\n',
            "seed": uuid.uuid4().hex,
        }
        dying = restarted.start("collecting")
        until(restarted.answers)
        project = new_project(tmp_path / "project", restarted.service, files)
        started = project.wherry("repro", "--detach", "--json").expect(0).json()
        assert dying.wait(timeout=_DEADLINE_S) == -signal.SIGKILL

        second = registry.put("team/tool:1", {**shell_files(), "word": b"second\n"})
        restarted.up()
        project.wherry("wait", started["id"]).expect(0)
        shown = project.wherry("show", started["id"], "--json").expect(0).json()
        later = project.repro()
        forget_images(registry)

    assert states(shown) == {"one": ("succeeded", "miss"), "two": ("succeeded", "miss")}
    assert {stage["image"] for stage in shown["stages"]} == {f"{registry.host}/team/tool@{first}"}
    assert {stage["image"] for stage in later["stages"]} == {f"{registry.host}/team/tool@{second}"}
