"""What a stage may use, and how it ends when it meets a limit: told apart, with the limit named."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.harness import Project, Service, new_project

Make = Callable[[dict[str, str]], Project]

FAILING = """\
stages:
  hungry:
    cmd: mkdir left; echo half > model.bin; echo one > left/1; python3 -c 'x = b"x" * 300_000_000'
    deps: [a]
    outs: [model.bin, left, never]
    meta: {wherry: {memory: 64m}}
  slow:
    cmd: python3 slow.py
    deps: [a]
    outs: [slow.txt]
    meta: {wherry: {timeout: 4}}
  crashed:
    cmd: python3 -c 'import os; os.kill(os.getpid(), 11)'
    deps: [a]
    outs: [crash.txt]
  flaky:
    cmd: echo trying; exit 7
    deps: [a]
    outs: [flaky.txt]
    meta: {wherry: {retries: 1}}
  several:
    cmd: |
      echo begun
      printf unended >&2; exit 3
      echo never
    deps: [a]
    outs: [several.txt]
  crowded:
    cmd: for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; wait
    deps: [a]
    outs: [crowd.txt]
    meta: {wherry: {pids: 4}}
"""

# Puts its things in order when it is asked to stop.
SLOW = """\
import signal, sys, time

def save(*_):
    print("saved a checkpoint", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
while True:
    time.sleep(0.1)
"""

LIMITED = """\
import glob, os

def first(*names):
    for name in names:
        for path in glob.glob("/sys/fs/cgroup/" + name):
            return open(path).read().split()

quota = first("cpu/cpu.cfs_quota_us", "cpu.max")
period = first("cpu/cpu.cfs_period_us") or quota[1:]
shm = os.statvfs("/dev/shm")
print("cpus", int(quota[0]) / int(period[0]))
print("memory", *first("memory/memory.limit_in_bytes", "memory.max"))
swap = first("memory/memory.memsw.limit_in_bytes")
print("swap", int(swap[0]) - 134217728 if swap else int(first("memory.swap.max")[0]))
print("pids", *first("pids/pids.max", "pids.max"))
print("shm", shm.f_blocks * shm.f_frsize)
print("threads", os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"])
open("limits.txt", "w").write("seen")
"""


@pytest.fixture(scope="module")
def failed(service: Service, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Any]:
    """A run of stages that all meet a limit."""
    root = tmp_path_factory.mktemp("limits") / "project"
    project = new_project(root, service, {"dvc.yaml": FAILING, "a": "1", "slow.py": SLOW})
    return project, project.wherry("repro", "-k", "--json").expect(1).json()


def stage_of(run: Any, name: str) -> Any:
    return next(stage for stage in run["stages"] if stage["name"] == name)


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("hungry", "ran out of memory (limit 64 MiB)"),
        ("slow", "was stopped after its timeout of 4 s"),
        ("crashed", "was ended by signal 11 (SIGSEGV)"),
        ("flaky", "exited with 7"),
        ("several", "exited with 3 in command 2 of 3: printf unended >&2; exit 3"),
    ],
)
def test_every_end_is_told_with_its_limit(failed: tuple[Project, Any], stage: str, reason: str) -> None:
    assert stage_of(failed[1], stage)["reason"] == reason


def test_a_stage_whose_time_is_up_puts_its_things_in_order_first(failed: tuple[Project, Any]) -> None:
    project, run = failed

    assert "saved a checkpoint" in project.wherry("logs", run["id"], "slow").expect(0).out


def test_a_failed_stage_lists_what_it_had_made(failed: tuple[Project, Any]) -> None:
    project, run = failed
    log = project.wherry("logs", run["id"], "hungry").expect(0).out

    assert "left behind, and not kept: left/ (1 file, 4 bytes)" in log
    assert "left behind, and not kept: model.bin (5 bytes)" in log
    assert "never" not in log


def test_what_a_stage_used_is_shown(failed: tuple[Project, Any]) -> None:
    project, run = failed
    usage = stage_of(run, "slow")["usage"]
    shown = project.wherry("show", run["id"]).expect(0).out

    assert set(usage) == {"peak_memory_bytes", "cpu_s", "read_bytes", "written_bytes"}
    assert usage["peak_memory_bytes"] > 1024**2
    assert re.search(r"\nslow +\d+\.\d s +\d+\.\d MiB", shown)


def test_every_attempt_is_in_the_log_and_counted(failed: tuple[Project, Any]) -> None:
    project, run = failed
    log = project.wherry("logs", run["id"], "flaky").expect(0).out

    assert stage_of(run, "flaky")["attempt"] == 2
    assert log.count("trying\n") == 2
    assert "exited with 7: attempt 2 of 2 begins" in log


def test_too_many_processes_fail_in_the_stage_alone(failed: tuple[Project, Any]) -> None:
    assert stage_of(failed[1], "crowded")["state"] == "failed"


def test_a_container_has_what_its_stage_declares(make_project: Make) -> None:
    project = make_project(
        {
            "dvc.yaml": "stages:\n  look:\n    cmd: python3 limited.py\n    deps: [limited.py]\n    outs: [limits.txt]\n"
            "    meta: {wherry: {cpus: 1.5, memory: 128m, pids: 50, shm_size: 32m, env: {MKL_NUM_THREADS: 7}}}\n",
            "limited.py": LIMITED,
        }
    )
    run = project.repro()
    log = project.wherry("logs", run["id"], "look").expect(0).out

    assert dict(re.findall(r"^(?:.*\| )?(cpus|memory|swap|pids|shm|threads) (.*)$", log, re.MULTILINE)) == {
        "cpus": "1.5",
        "memory": "134217728",
        "swap": "0",
        "pids": "50",
        "shm": "33554432",
        "threads": "1 7",
    }


def test_what_a_stage_used_is_shown_when_its_result_is_used_again_and_of_each_attempt(
    failed: tuple[Project, Any], make_project: Make
) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  make: {cmd: head -c 30m /dev/zero >z, deps: [a], outs: [z]}\n", "a": "use"}
    )
    first, again = project.repro(), project.repro()

    assert stage_of(first, "make")["usage"]["cpu_s"] > 0
    assert stage_of(again, "make")["cache"] == "hit"
    assert stage_of(again, "make")["usage"] == stage_of(first, "make")["usage"]
    assert "\nmake, when it ran " in project.wherry("show", again["id"]).expect(0).out

    [earlier] = stage_of(failed[1], "flaky")["earlier_attempts"]
    assert (earlier["reason"], earlier["exit_code"]) == ("exited with 7", 7)
    assert earlier["usage"]["cpu_s"] > 0
    shown = failed[0].wherry("show", failed[1]["id"]).expect(0).out
    assert re.search(r"\nflaky, attempt 1: exited with 7 +\d", shown)
    assert re.search(r"\nflaky, attempt 2 +\d", shown)


def test_more_than_the_machine_has_is_refused_where_it_is_asked_for(make_project: Make) -> None:
    stage = (
        "stages:\n  huge:\n    cmd: cp a b\n    deps: [a]\n    outs: [b]\n    meta:\n      wherry:\n        "
    )
    project = make_project({"dvc.yaml": stage + "cpus: 5000\n", "a": "1"})
    for setting, said in (
        ("cpus: 5000", "asks for 5000 cpus, and a stage can have"),
        ("memory: 900t", "asks for 900 TiB of memory, and a stage can have"),
        ("gpus: 1000", "asks for 1000 GPUs, and the service's machine"),
    ):
        project.write({"dvc.yaml": f"{stage}{setting}\n"})
        refused = project.wherry("repro").expect(6)

        assert f"stage 'huge' {said}" in refused.err
        assert re.search(r"dvc\.yaml:\d+:\d+", refused.err)


def test_a_run_is_stopped_as_failed_when_its_time_is_up(make_project: Make) -> None:
    project = make_project(
        {"dvc.yaml": "stages:\n  long: {cmd: sleep 600, deps: [a], outs: [never]}\n", "a": "time is up"}
    )
    done = project.wherry("repro", "--json", "--run-timeout", "3").expect(1).json()

    assert done["state"] == "failed"
    assert done["error"]["id"] == "TIMEOUT"
    assert "after its timeout of 3 s" in done["error"]["message"]
    assert [stage["state"] for stage in done["stages"]] == ["cancelled"]
