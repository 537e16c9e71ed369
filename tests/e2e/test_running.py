"""Running stages: what they see, how their output travels, and how dvc.lock comes out."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import UNTIL_GO, WHERRY, Project, Service, new_project, run, states, until

Make = Callable[[dict[str, str]], Project]

_DEADLINE_S = 120

KINDS = """\
stages:
  split:
    cmd:
      - mkdir -p parts
      - head -n 1 data.txt > parts/head
      - tail -n 1 data.txt > parts/tail
    deps: [data.txt]
    outs: [parts]
  count:
    wdir: work
    cmd: |-
      cat ../parts/* | wc -c | tr -d ' ' > count.txt
      printf '{"n": %s}' "$(cat count.txt)" > metrics.json
    deps: [../parts]
    params: [scale, nested.deep]
    outs: [count.txt]
    metrics: [metrics.json: {cache: false}]
  tool:
    cmd: printf '#!/bin/sh\\necho "a rather long line of text, long enough to be folded when DVC writes its lock file"\\n' > tool && chmod +x tool
    deps: [work/count.txt]
    outs: [tool]
"""
PARAMS = "scale: 1e-3\nnested: {deep: [1, 2.0, true, null, 'on']}\nother: 2\n"
KIND_FILES = {
    "dvc.yaml": KINDS,
    "work/params.yaml": PARAMS,
    "data.txt": "first\nlast\n",
    "params.yaml": "x: 1\n",
}


def test_the_lock_equals_what_dvc_repro_writes(make_project: Make, tmp_path: Path) -> None:
    project = make_project(KIND_FILES)
    laptop = project.clone(tmp_path / "laptop", user="ben")

    project.repro()
    laptop.dvc("repro").expect(0)

    assert (project.root / "dvc.lock").read_bytes() == (laptop.root / "dvc.lock").read_bytes()
    assert (project.root / "work/metrics.json").read_bytes() == (
        laptop.root / "work/metrics.json"
    ).read_bytes()


def test_an_updated_lock_equals_what_dvc_repro_writes(make_project: Make, tmp_path: Path) -> None:
    project = make_project(KIND_FILES)
    project.repro()
    lock = project.root / "dvc.lock"
    lock.write_text("# kept by both\n" + lock.read_text())
    project.write({"work/params.yaml": PARAMS.replace("1e-3", "2e-3")})
    project.commit()
    laptop = project.clone(tmp_path / "laptop", user="ben")
    laptop.wherry("dvc-remote", "--write").expect(0)
    laptop.dvc("pull").expect(0)

    changed = project.repro()
    laptop.dvc("repro").expect(0)

    assert states(changed)["split"] == ("succeeded", "hit")
    assert states(changed)["count"] == ("succeeded", "miss")
    assert lock.read_bytes() == (laptop.root / "dvc.lock").read_bytes()


def test_with_the_lock_deleted_stock_dvc_runs_nothing(make_project: Make, tmp_path: Path) -> None:
    cached_only = KINDS.replace("metrics: [metrics.json: {cache: false}]", "metrics: [metrics.json]")
    project = make_project({**KIND_FILES, "dvc.yaml": cached_only, "data.txt": "run\ncache\n"})
    project.repro()
    project.commit("results")
    clone = project.clone(tmp_path / "stock", user="ben")
    clone.wherry("dvc-remote", "--write").expect(0)
    lock = (clone.root / "dvc.lock").read_bytes()

    clone.dvc("pull", "--run-cache").expect(0)
    (clone.root / "dvc.lock").unlink()
    done = clone.dvc("repro").expect(0)

    assert "Running stage" not in done.out
    assert done.out.count("is cached - skipping run") == 3
    assert (clone.root / "dvc.lock").read_bytes() == lock


def test_pulled_outputs_are_what_the_stage_wrote(make_project: Make) -> None:
    project = make_project(KIND_FILES)
    project.repro("--pull", "all")

    assert (project.root / "parts/head").read_text() == "first\n"
    assert os.access(project.root / "tool", os.X_OK)
    assert project.wherry("pull").expect(0).code == 0


def test_cached_outputs_are_kept_out_of_git_as_dvc_does(make_project: Make, tmp_path: Path) -> None:
    project = make_project(KIND_FILES)
    laptop = project.clone(tmp_path / "laptop", user="ben")

    project.repro("--pull", "all")
    laptop.dvc("repro").expect(0)

    for name in (".gitignore", "work/.gitignore"):
        assert sorted((project.root / name).read_text().split()) == sorted(
            (laptop.root / name).read_text().split()
        )


def test_a_result_serves_every_clone_and_every_user(make_project: Make, tmp_path: Path) -> None:
    project = make_project({**KIND_FILES, "data.txt": "shared\nby all\n"})
    project.repro()

    other = project.clone(tmp_path / "an other place", user="carol").repro()

    assert {cache for _, cache in states(other).values()} == {"hit"}


def test_a_forced_run_computes_again(make_project: Make) -> None:
    project = make_project({**KIND_FILES, "data.txt": "forced\nrun\n"})
    project.repro()

    assert {cache for _, cache in states(project.repro("-f")).values()} == {"bypass"}
    assert {cache for _, cache in states(project.repro()).values()} == {"hit"}


def test_a_stage_is_unprivileged_and_sees_its_project_only(make_project: Make) -> None:
    script = (
        "import json, os\n"
        "json.dump({'uid': os.getuid(), 'cwd': os.getcwd(), 'home': os.access(os.environ['HOME'], os.W_OK),\n"
        "  'root': os.access('/', os.W_OK), 'socket': os.path.exists('/var/run/docker.sock'),\n"
        "  'env': sorted(os.environ), 'files': sorted(os.listdir('.'))}, open('seen.json', 'w'))\n"
    )
    project = make_project(
        {
            "dvc.yaml": "stages:\n  look: {cmd: python3 look.py, deps: [look.py], outs: [seen.json: {cache: false}]}\n"
            "  other: {cmd: touch secret, deps: [look.py], outs: [secret]}\n",
            "look.py": script,
            "helper.py": "",
        }
    )

    project.repro()
    seen = json.loads((project.root / "seen.json").read_text())

    assert seen["uid"] != 0
    assert seen["cwd"] == "/workspace"
    assert (seen["home"], seen["root"], seen["socket"]) == (True, False, False)
    assert {"DVC_ROOT", "DVC_STAGE", "HOME"} <= set(seen["env"])
    assert not [name for name in seen["env"] if name.startswith(("WHERRY", "AWS"))]
    assert "helper.py" in seen["files"]
    assert "secret" not in seen["files"], "outputs of other stages are not there"


def test_lines_arrive_while_the_stage_runs(make_project: Make) -> None:
    """The stage sleeps for an hour after its line: whoever sees the line sees it while the stage runs."""
    project = make_project(
        {
            "dvc.yaml": "stages:\n  slow: {cmd: echo first line && sleep 3600, deps: [a], outs: [never]}\n",
            "a": "live",
        }
    )
    accepted = project.wherry("repro", "-d", "--json").expect(0).json()
    tail = subprocess.Popen(
        [WHERRY, "logs", "-f", accepted["id"]],
        cwd=project.root,
        env=project.service.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert tail.stdout is not None
        assert any("first line" in line and "sleep" not in line for line in tail.stdout)
    finally:
        project.wherry("stop", accepted["id"]).expect(0)
        project.wherry("wait", accepted["id"]).expect(3)
        tail.communicate(timeout=_DEADLINE_S)


def test_a_detached_run_is_followed_and_applied_later(make_project: Make) -> None:
    project = make_project({**KIND_FILES, "data.txt": "detached\nrun\n"})

    accepted = project.wherry("repro", "-d", "--json").expect(0).json()
    assert not (project.root / "dvc.lock").exists()
    log = project.wherry("logs", accepted["id"], "-f").expect(0)
    project.wherry("wait", accepted["id"]).expect(0)
    project.wherry("apply", accepted["id"]).expect(0)

    assert "head -n 1 data.txt" in log.out
    assert (project.root / "dvc.lock").exists()
    assert {cache for _, cache in states(project.repro()).values()} == {"hit"}


def test_a_stopped_run_ends_its_container(make_project: Make) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  long: {cmd: sleep 600, deps: [a], outs: [never]}\n", "a": "stop me"}
    )
    accepted = project.wherry("repro", "-d", "--json").expect(0).json()
    labels = (f"label=wherry.run={accepted['id']}", f"label=wherry.path={project.service.home}")
    running = ["docker", "ps", "-q", *(word for label in labels for word in ("--filter", label))]
    until(lambda: run(running, cwd=project.root).out != "")

    project.wherry("stop", accepted["id"]).expect(0)
    project.wherry("wait", accepted["id"]).expect(3)

    shown = project.wherry("show", accepted["id"], "--json").expect(0).json()
    assert shown["state"] == "cancelled"
    assert run(running, cwd=project.root).out == ""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Service]:
    """A service that the test may stop and start."""
    home = tmp_path / "home"
    home.mkdir()
    started = Service(home)
    started.wherry("up", cwd=home).expect(0)
    yield started
    started.wherry("down", cwd=home).expect(0)


def test_a_run_goes_on_when_its_service_is_stopped_and_started_again(own: Service, tmp_path: Path) -> None:
    files = {
        "dvc.yaml": "stages:\n"
        "  quick: {cmd: cp seed b, deps: [seed], outs: [b]}\n"
        f"  long: {{cmd: 'echo begins; {UNTIL_GO}; echo ends; cp b c', deps: [b], outs: [c]}}\n",
        "seed": "service stops",
    }
    project = new_project(tmp_path / "own", own, files)
    accepted = project.wherry("repro", "-d", "--json").expect(0).json()
    labels = (
        f"label=wherry.run={accepted['id']}",
        f"label=wherry.path={own.home}",
        "label=wherry.stage=long",
    )
    running = ["docker", "ps", "-q", *(word for label in labels for word in ("--filter", label))]
    until(lambda: run(running, cwd=project.root).out != "")

    own.wherry("down", cwd=tmp_path).expect(0)
    own.wherry("up", cwd=tmp_path).expect(0)
    own.let_go("service stops")
    project.wherry("wait", accepted["id"]).expect(0)
    ended = project.wherry("show", accepted["id"], "--json").expect(0).json()
    told = project.wherry("logs", accepted["id"], "long").expect(0).out.split()

    assert states(ended) == {"quick": ("succeeded", "miss"), "long": ("succeeded", "miss")}
    assert [stage["attempt"] for stage in ended["stages"]] == [1, 1]
    assert [told.count(word) for word in ("begins", "ends")] == [1, 1]


def test_status_says_what_would_happen(make_project: Make) -> None:
    project = make_project({**KIND_FILES, "data.txt": "status\nfirst\n"})

    before = project.wherry("status", "--json").expect(0).json()
    project.wherry("status", "-q").expect(1)
    project.repro()
    after = project.wherry("status", "--json").expect(0).json()

    assert before["schema"] == "wherry.plan/1"
    assert [stage["decision"] for stage in before["stages"]] == ["run", "waits", "waits"]
    assert [stage["decision"] for stage in after["stages"]] == ["hit", "hit", "hit"]
    project.wherry("status", "-q").expect(0)
