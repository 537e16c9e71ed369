"""The driver that runs a stage's commands, under the shells that images have."""

import signal
import subprocess
from pathlib import Path

import pytest

from wherry.service.domain.shell import shell_argv, take_failed_command


def run(*commands: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shell_argv(commands), cwd=cwd, capture_output=True, text=True, timeout=30, check=False
    )


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
    with subprocess.Popen(shell_argv([command]), cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        process.terminate()

        assert process.stdout.read() == "stopping\n"
        assert process.wait(timeout=30) == 5


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
