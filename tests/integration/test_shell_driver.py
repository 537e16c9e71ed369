"""The driver that runs a stage's commands, under the shells that images have."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from wherry.service.domain.shell import shell_argv, take_failed_command

# What the service hands over where there are none to hand over.
_NO_SECRETS = "# that is all"


def run(*commands: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shell_argv(commands), cwd=cwd, capture_output=True, text=True, timeout=30, check=False
    )


@contextlib.contextmanager
def started(argv: Sequence[str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """The driver, running; whatever is left of it at the end is killed."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, cwd=cwd, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until_it_catches(process: subprocess.Popen[str], number: signal.Signals) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)[0], 16)
        if caught & 1 << number - 1:
            return
        time.sleep(0.01)
    pytest.fail(f"no handler of {number.name} after 30 s")


def test_each_command_has_a_shell_of_its_own(tmp_path: Path) -> None:
    done = run("X=1; cd /", 'echo "[$X]"; pwd', cwd=tmp_path)

    assert done.stdout.splitlines() == ["[]", str(tmp_path)]
    assert done.returncode == 0


def test_the_first_failure_ends_it_with_its_code(tmp_path: Path) -> None:
    done = run("echo one", "exit 7", "echo three", cwd=tmp_path)

    assert (done.stdout, done.returncode) == ("one\n", 7)


def test_of_several_commands_the_driver_tells_which_one_failed(tmp_path: Path) -> None:
    done = run("true", "echo broken >&2; exit 7", "true", cwd=tmp_path)
    lines = [take_failed_command(line.encode()) for line in done.stderr.split("\n")[:-1]]

    assert lines == [(b"broken", None), (None, 2)]
    unended = run("printf x >&2; exit 7", "true", cwd=tmp_path).stderr.removesuffix("\n")
    assert take_failed_command(unended.encode()) == (b"x", 1)
    assert run("exit 7", cwd=tmp_path).stderr == ""


def test_death_by_a_signal_is_reported_as_shells_do(tmp_path: Path) -> None:
    assert run("kill -KILL $$", cwd=tmp_path).returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    "command", ['printf "%s|" "a  b" \'c\'', "echo $((1+1)); echo '$HOME'", "true && echo it\\'s"]
)
def test_commands_are_passed_on_to_the_letter(tmp_path: Path, command: str) -> None:
    plain = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert run(command, cwd=tmp_path).stdout == plain.stdout


def test_sigterm_reaches_the_command(tmp_path: Path) -> None:
    command = "trap 'echo stopping; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with started(shell_argv([command]), tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        process.terminate()

        assert process.communicate(timeout=30)[0] == "stopping\n"
        assert process.returncode == 5


def test_sigterm_reaches_a_command_whose_number_the_driver_has_yet_to_read(tmp_path: Path) -> None:
    known = "_wherry_child=$!\n"
    stops = "trap 'echo stopping; exit 5' TERM; kill -TERM $PPID; while :; do sleep 0.05; done"
    *shell, script, name, command = shell_argv([stops])
    assert known in script

    with started([*shell, script.replace(known, f"sleep 0.5; {known}"), name, command], tmp_path) as process:
        assert process.communicate(timeout=30)[0] == "stopping\n"
        assert process.returncode == 5


def test_sigterm_before_the_first_command_is_remembered(tmp_path: Path) -> None:
    with started(shell_argv(["echo started"], takes_secrets=True), tmp_path) as process:
        until_it_catches(process, signal.SIGTERM)
        process.terminate()

        assert process.communicate(_NO_SECRETS, timeout=30)[0] == ""
        assert process.returncode == 128 + signal.SIGTERM


def test_after_sigterm_no_other_command_is_started(tmp_path: Path) -> None:
    done = run("trap '' TERM; kill -TERM $PPID; echo done", "echo next", cwd=tmp_path)

    assert (done.stdout, done.returncode) == ("done\n", 128 + signal.SIGTERM)


def test_the_environment_reaches_the_commands_as_it_is(tmp_path: Path) -> None:
    """Also variables of names that a script would like to have for itself."""
    argv = shell_argv(["true", "env -0"], takes_secrets=True)
    words = {"x", "asked", "child", "number", "command", "shell", "secrets", "status", "stop"}
    words |= set(re.findall(r"(?<![A-Za-z0-9_$])[a-z]+", argv[2]))
    environment = {"PATH": os.environ["PATH"], **dict.fromkeys(words, "kept")}

    done = subprocess.run(
        argv,
        cwd=tmp_path,
        env=environment,
        input=_NO_SECRETS,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    seen = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    of_the_shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert {name: value for name, value in seen.items() if name not in of_the_shell} == environment


@pytest.mark.parametrize(("shell", "said"), [(None, "bash"), ("bash", "bash"), ("sh", "sh")])
def test_the_shell_is_bash_where_there_is_one_unless_the_setting_says_otherwise(
    tmp_path: Path, shell: str | None, said: str
) -> None:
    # An array is bash's alone.
    argv = shell_argv(["a=(x y); test ${a[1]} = y && echo bash || echo sh"], shell=shell)
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout.strip() or "sh") == said


def test_in_an_image_without_bash_it_is_sh(tmp_path: Path) -> None:
    argv = shell_argv(["echo $0-ran"])
    (tmp_path / "sh").symlink_to("/bin/sh")
    done = subprocess.run(argv, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.stdout == "sh-ran\n"
