"""Stages that mean harm, all in one run, and what becomes of each. What needs a prepared engine or network is in
tests/contract; docs/security.md lists which test shows what.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.harness import Project, Service, new_project, until, until_no_container_is_left

STAGES = {
    # What it does, and what there is to see afterwards.
    "writes_input": ("echo x >>in.txt", "out"),
    "replaces_input": ("sed -i s/precious/evil/ in.txt && cat in.txt >replaced", "replaced"),
    "attacks_input": ("sh attack.sh >attacked 2>&1", "attacked"),
    "becomes_root": ("sh root.sh >root 2>&1", "root"),
    "looks_around": ("sh around.sh >around 2>&1", "around"),
    "links_out": ("ln -s /etc/passwd linked", "linked"),
    "makes_pipe": ("mkfifo pipe", "pipe"),
    "makes_device": ("mknod device c 1 3", "device"),
    "floods_log": ("head -c 70000000 /dev/zero | tr '\\0' x | fold -w 16000; echo made >flood", "flood"),
    "forks": ("sh forks.sh; echo made >forked", "forked"),
    "fills_disk": ("while :; do head -c 20000000 /dev/zero >>full; sleep 1; done", "full"),
    "ignores_end": ("trap '' TERM; while :; do sleep 1; done; echo made >deaf", "deaf"),
    "leaves_processes": ("sleep 1000 & setsid sleep 1000 & echo made >left", "left"),
}

SETTINGS = {
    "forks": "    meta: {wherry: {pids: 64, timeout: 5}}\n",
    "ignores_end": "    meta: {wherry: {timeout: 1}}\n",
}

ATTACK = """\
chmod 666 in.txt && echo CHMOD
(echo x >in.txt) && echo WRITE
truncate -s 0 in.txt && echo TRUNCATE
python3 -c "import os; os.utime('in.txt', (0, 0))" && echo UTIME
ln in.txt hard && (echo x >hard) && echo HARDLINK
ln -s in.txt soft; (echo x >soft) && echo SOFTLINK
(echo x >/proc/self/cwd/in.txt) && echo PROC
exec 3<in.txt; (echo x >/proc/self/fd/3) && echo REOPEN
rm -f hard soft
echo done
"""

# Each starts two more. What cannot start any more ends, and the rest with the container.
FORKS = "sh forks.sh & sh forks.sh & wait\n"

ROOT = """\
test "$(id -u)" = 0 && echo ROOT
su -c id && echo SU
unshare -Ur id && echo NAMESPACE
mount -t tmpfs none /mnt && echo MOUNT
chroot / true && echo CHROOT
echo x >/etc/passwd && echo PASSWD
echo 1 >/proc/sys/kernel/sysrq && echo SYSCTL
echo x >/sys/kernel/profiling && echo SYSFS
cat /proc/kcore && echo KCORE
cat /dev/mem && echo MEM
dmesg && echo DMESG
echo done
"""

AROUND = """\
find / -xdev -name docker.sock 2>/dev/null | grep . && echo SOCKET
env | grep -iE 'wherry_|aws|s3|secret|token' && echo ENVIRONMENT
cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -iE 'wherry_|aws_' && echo KEYS
ls /var/lib/wherry /var/lib/docker && echo HOST
ls -d /workspace/../*/dvc.yaml 2>/dev/null | grep -v ^/workspace && echo OTHERS
find /workspace -path '*/wherry.local.toml' -o -path '*/config.local' -o -path '*/.git/*' | grep . && echo PRIVATE
ls /proc | grep -c '^[0-9]' | awk '$1 > 20 {print "PROCESSES"}'
python3 - <<'END' && echo METADATA
import socket
socket.create_connection(("169.254.169.254", 80), 2)
END
echo done
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One of its own, whose disk is small."""
    home = tmp_path_factory.mktemp("wherry-home")
    running = Service(home, {"WHERRY_WORKSPACE_GB": "0.05"})
    running.wherry("up", cwd=home).expect(0)
    yield running
    running.wherry("down", cwd=home).expect(0)
    until_no_container_is_left(running)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    stages = "".join(
        f"  {name}:\n    cmd: {_quoted(cmd)}\n    deps: [in.txt]\n    outs: [{out}]\n{SETTINGS.get(name, '')}"
        for name, (cmd, out) in STAGES.items()
    )
    project = new_project(
        tmp_path_factory.mktemp("hostile") / "project",
        service,
        {
            "attack.sh": ATTACK,
            "forks.sh": FORKS,
            "root.sh": ROOT,
            "around.sh": AROUND,
            "dvc.yaml": f"stages:\n{stages}",
            ".dvc/config.local": "[core]\n    remote = private\n",
        },
    )
    (project.root / "in.txt").write_text("precious\n")
    project.dvc("add", "-q", "in.txt").expect(0)
    return project


@pytest.fixture(scope="module")
def ended(project: Project) -> dict[str, Any]:
    """The stages of the run, by name."""
    done = project.wherry("repro", "-k", "--json", "--no-logs", "--pull", "all").expect(1)
    document = done.json()
    return {stage["name"]: {**stage, "run": document["id"]} for stage in document["stages"]}


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "''") + "'"


def _log(project: Project, stage: dict[str, Any]) -> str:
    return project.wherry("logs", stage["run"], stage["name"]).expect(0).out


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("writes_input", "exited with 1"),
        ("links_out", "leads out of the workspace"),
        ("makes_pipe", "'pipe' is a named pipe"),
        ("makes_device", "exited with 1"),
        ("fills_disk", "was stopped: it wrote more than 47.7 MiB to its workspace"),
        ("ignores_end", "was stopped after its timeout of 1 s"),
    ],
)
def test_harm_ends_the_stage_with_its_reason(ended: dict[str, Any], stage: str, reason: str) -> None:
    assert ended[stage]["state"] == "failed"
    assert reason in ended[stage]["reason"]


@pytest.mark.parametrize(
    ("stage", "out"),
    [("attacks_input", "attacked"), ("becomes_root", "root"), ("looks_around", "around")],
)
def test_nothing_that_it_tries_works(ended: dict[str, Any], project: Project, stage: str, out: str) -> None:
    assert ended[stage]["state"] == "succeeded"
    told = (project.root / out).read_text().splitlines()
    assert told[-1] == "done"
    assert [line for line in told if line.isupper()] == []


def test_writing_to_an_input_names_it_and_replacing_it_is_noticed(
    ended: dict[str, Any], project: Project
) -> None:
    assert ended["writes_input"]["state"] == "failed"
    assert "in.txt: Permission denied" in _log(project, ended["writes_input"])
    assert ended["replaces_input"]["state"] == "succeeded"
    assert "changed its input 'in.txt'" in _log(project, ended["replaces_input"])
    assert (project.root / "replaced").read_text() == "evil\n"


def test_the_input_is_for_everybody_what_it_was(ended: dict[str, Any], project: Project) -> None:
    assert ended
    name = hashlib.md5(b"precious\n").hexdigest()
    copies = [path for path in (project.service.home / "node").rglob("*") if name[2:] in path.name]
    assert copies
    assert {path.read_bytes() for path in copies if path.is_file()} == {b"precious\n"}


def test_a_flood_of_output_is_cut_with_a_word_about_it(ended: dict[str, Any], project: Project) -> None:
    assert ended["floods_log"]["state"] == "succeeded"
    lines = _log(project, ended["floods_log"]).splitlines()
    assert "the stage wrote more than 67108864 bytes: the rest is not kept" in lines
    assert 67_108_864 <= sum(len(line) + 1 for line in lines if line.startswith("x")) < 67_108_864 + 1_000_000


def test_a_fork_bomb_ends_with_its_own_stage(ended: dict[str, Any]) -> None:
    # Whether it gives up by itself or has to be stopped is up to its luck; all others have ended as they do.
    assert ended["forks"]["state"] in {"succeeded", "failed"}
    assert ended["leaves_processes"]["state"] == "succeeded"


def test_a_stage_that_ignores_its_end_is_killed(ended: dict[str, Any]) -> None:
    assert ended["ignores_end"]["exit_code"] == 137


def test_what_a_stage_has_filled_the_disk_with_is_named_and_gone(
    ended: dict[str, Any], project: Project
) -> None:
    assert "left behind, and not kept: full (" in _log(project, ended["fills_disk"])
    assert not (project.root / "full").exists()
    until(lambda: not list((project.service.home / "workspaces").iterdir()))


def test_nothing_outlives_its_stage(ended: dict[str, Any], project: Project) -> None:
    assert ended["leaves_processes"]["state"] == "succeeded"
    until_no_container_is_left(project.service)
    until(lambda: not list((project.service.home / "workspaces").iterdir()))
