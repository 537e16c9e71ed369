"""Clients that are killed, or whose file changes, in the middle of moving it: noticed, and nothing is half-written."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import WHERRY, Project, states

Make = Callable[[dict[str, str]], Project]

_MIB = 1024 * 1024
_SIZE = 256 * _MIB
_DEADLINE_S = 60


@pytest.fixture
def project(make_project: Make) -> Project:
    """A project with a large tracked file that was hashed before."""
    project = make_project(
        {"dvc.yaml": "stages:\n  use: {cmd: wc -c < big > out, deps: [big], outs: [out]}\n"}
    )
    # Of this test run alone: other tests share the service.
    (project.root / "big").write_bytes(random.randbytes(_MIB) * (_SIZE // _MIB))
    project.dvc("add", "-q", "big").expect(0)
    # Adding may write the file anew, and what was written in the last two seconds is hashed again each time.
    os.utime(project.root / "big", (1e9, 1e9))
    project.commit()
    project.wherry("status").expect(0)
    return project


def _start(project: Project, *command: str, is_time: Callable[[int], bool]) -> subprocess.Popen[str]:
    """Start a client, and return in the middle of what it does."""
    client = subprocess.Popen(
        [WHERRY, *command],
        cwd=project.root,
        env=project.service.environment(project.user),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + _DEADLINE_S
    while not is_time(client.pid):
        assert client.poll() is None, "it ended too soon"
        assert time.monotonic() < deadline
    return client


def _kill_when(project: Project, *command: str, is_time: Callable[[int], bool]) -> None:
    client = _start(project, *command, is_time=is_time)
    client.kill()
    client.communicate()


def _read_of(pid: int, file: Path) -> int:
    """How far a process is with reading a file."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if descriptor.readlink() == file:
                return int(Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text().split()[1])
        except FileNotFoundError:  # closed meanwhile
            continue
    return 0


def test_an_upload_that_was_killed_is_done_again(project: Project) -> None:
    big = project.root / "big"

    _kill_when(project, "repro", is_time=lambda pid: _read_of(pid, big) > 32 * _MIB)
    run = project.repro("--pull", "all")

    assert states(run) == {"use": ("succeeded", "miss")}
    assert (project.root / "out").read_text() == f"{_SIZE}\n"


def test_a_file_that_changes_while_it_is_sent_is_named(project: Project) -> None:
    big = project.root / "big"

    client = _start(project, "repro", is_time=lambda pid: _read_of(pid, big) > 32 * _MIB)
    client.send_signal(signal.SIGSTOP)
    with big.open("r+b") as file:
        file.seek(_SIZE - 1)
        file.write(b"x")
    client.send_signal(signal.SIGCONT)
    _, said = client.communicate(timeout=_DEADLINE_S)

    assert client.returncode not in {0, None}
    assert "big changed while it was being uploaded" in said
    assert "nothing was submitted" in said
    project.dvc("add", "-q", "big").expect(0)
    project.commit()
    assert states(project.repro()) == {"use": ("succeeded", "miss")}


def test_a_pull_that_was_killed_goes_on_and_leaves_nothing_half_written(
    project: Project, tmp_path: Path
) -> None:
    project.repro()
    laptop = project.clone(tmp_path / "laptop", user="ben")
    incoming = laptop.root / ".dvc/tmp/wherry/incoming"

    def has_begun(_: int) -> bool:
        return any(b"\1" in journal.read_bytes() for journal in incoming.glob("*.come"))

    _kill_when(laptop, "pull", "big", is_time=has_begun)
    final = [path for path in laptop.root.rglob("*") if path.is_file() and path.stat().st_size >= _MIB]
    laptop.wherry("pull", "big").expect(0)

    assert [path.parent for path in final] == [incoming] * len(final), "nothing under a final name"
    assert final, "what has come is kept"
    assert (laptop.root / "big").read_bytes() == (project.root / "big").read_bytes()
    assert (laptop.root / "big").stat().st_mode & 0o200, "it may be edited"
    assert list(incoming.iterdir()) == []
    assert laptop.dvc("status", "big.dvc").expect(0).out == "Data and pipelines are up to date.\n"
