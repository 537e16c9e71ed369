"""Real DVC as a program: a process for each command, forked from one that has DVC's modules loaded already.

To load them takes most of a second, which is longer than most commands need. What a command does, and leaves in
memory, ends with its process, as it does on a command line.
"""

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / ".venv-dvc" / "bin"

# Of one command, the first one's loading included: one that hangs fails its test, and takes no other along.
_COMMAND_S = 240
_END_S = 60

# Nothing that is imported here starts a thread or reads the environment for good.
_SCRIPT = """
import json, os, sys, threading, traceback
import configobj, dvc_s3, dulwich.porcelain, dulwich.worktree, dvc_render, flatten_dict, flufl.lock, networkx.algorithms, psutil
import dvc.cachemgr, dvc.cli.parser, dvc.dagascii, dvc.data_cloud, dvc.daemon, dvc.dirs, dvc.lock, dvc.repo.artifacts
import dvc.repo.datasets, dvc.repo.index, dvc.repo.metrics, dvc.repo.open_repo, dvc.repo.params, dvc.repo.plots
import dvc.repo.reproduce, dvc.repo.stage, dvc.rwlock, dvc.scm, dvc.utils.strictyaml, dvc_data.hashfile.db.local
import fsspec.implementations.memory, platformdirs.unix, rich.json, rich.live, rich.progress, rich.table, ruamel.yaml, s3fs
from dvc.cli import main

dvc.cli.parser.get_main_parser()
assert threading.active_count() == 1
questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")

def begin(asked):
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    for descriptor, name in enumerate(("in", "out", "err")):
        path = os.path.join(asked["streams"], name)
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), descriptor)

def run(asked):
    code = 1
    try:
        begin(asked)
        code = main(asked["arguments"])
    except SystemExit as exc:
        code = exc.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)

for line in questions:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        run(asked)
    _, status = os.waitpid(child, 0)
    answers.write(f"{os.waitstatus_to_exitcode(status)}\\n")
    answers.flush()
"""


def run_dvc(
    *arguments: str, cwd: Path, env: Mapping[str, str], stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a command of DVC in a folder, to its end."""
    return _loaded().run(arguments, cwd=cwd, env=env, stdin=stdin)


class _Loaded:
    """The process that has the modules loaded."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        # In a session of its own, so that a command that hangs is ended with it.
        self._process = subprocess.Popen(
            [_FOLDER / "python", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def run(
        self, arguments: tuple[str, ...], *, cwd: Path, env: Mapping[str, str], stdin: str
    ) -> "subprocess.CompletedProcess[str]":
        """Have it run a command in a process of its own."""
        assert self._process.stdin is not None
        with tempfile.TemporaryDirectory() as folder, self._one_at_a_time:
            streams = Path(folder)
            (streams / "in").write_text(stdin)
            asked = {"arguments": arguments, "cwd": str(cwd), "env": dict(env), "streams": folder}
            try:
                self._process.stdin.write(json.dumps(asked).encode() + b"\n")
                self._process.stdin.flush()
                code = int(self._answer())
            except BaseException:
                # What it may still answer would be taken for the answer to the next command.
                self.kill()
                raise
            out, err = ((streams / name).read_bytes().decode() for name in ("out", "err"))
        return subprocess.CompletedProcess(["dvc", *arguments], code, out, err)

    def kill(self) -> None:
        """End it with the command that it is at; the next command gets another."""
        _loaded.cache_clear()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End it."""
        try:
            self._process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _answer(self) -> bytes:
        """One line."""
        assert self._process.stdout is not None
        answer, deadline = b"", time.monotonic() + _COMMAND_S
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"DVC did not end within {_COMMAND_S} s"
            piece = os.read(self._process.stdout.fileno(), 64)
            assert piece, f"what runs DVC has ended: {self._process.poll()}"
            answer += piece
        return answer


@functools.cache
def _loaded() -> _Loaded:
    loaded = _Loaded()
    atexit.register(loaded.end)
    return loaded
