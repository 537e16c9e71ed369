"""A program of Python with its modules loaded already: a process for each command, forked from one that waits.

To load the modules takes longer than most commands need. What a command does, and leaves in memory, ends with its
process, as it does on a command line.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Of one command, the first one's loading included: one that hangs fails its test, and takes no other along.
_COMMAND_S = 240
_END_S = 60

# What comes before it loads, and defines `main`, which takes the arguments from `sys.argv`.
_FORKING = """
import atexit, gc, json, os, sys, threading, traceback
# A process that is forked has no other thread of these.
assert threading.active_count() == len(os.listdir("/proc/self/task")) == 1
gc.freeze()
questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")

def begin(asked):
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv[:] = asked["command"]
    for descriptor, name in enumerate(("in", "out", "err")):
        path = os.path.join(asked["streams"], name)
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), descriptor)

def run(asked):
    code = 1
    try:
        begin(asked)
        code = main()
    except SystemExit as exc:
        code = exc.code
    except BaseException:
        traceback.print_exc()
    finally:
        # The end of a process, but for the modules that it would take apart.
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)

for line in questions:
    child = os.fork()
    if not child:
        run(json.loads(line))
    _, status = os.waitpid(child, 0)
    answers.write(f"{os.waitstatus_to_exitcode(status)}\\n")
    answers.flush()
"""


class LoadedProgram:
    """The process that has the modules loaded; it is started with the first command."""

    def __init__(self, python: Path, loading: str, *, environment: Mapping[str, str] | None = None) -> None:
        """`loading` is a script that loads the modules and defines `main`; `environment` is that of loading."""
        self._command = [str(python), "-c", loading + _FORKING]
        self._environment = environment
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command, the program's name first, to its end in a process of its own."""
        with tempfile.TemporaryDirectory() as folder, self._one_at_a_time:
            streams = Path(folder)
            (streams / "in").write_text(stdin)
            asked = {"command": list(command), "cwd": str(cwd), "env": dict(env), "streams": folder}
            try:
                code = self._ask(json.dumps(asked))
            except BaseException:
                # What it may still answer would be taken for the answer to the next command.
                self._kill()
                raise
            out, err = ((streams / name).read_bytes().decode() for name in ("out", "err"))
        return subprocess.CompletedProcess(list(command), code, out, err)

    def end(self) -> None:
        """End it; harmless when it does not run."""
        if self._process is not None:
            try:
                self._process.communicate(timeout=_END_S)
            except subprocess.TimeoutExpired:
                self._kill()

    def _ask(self, question: str) -> int:
        if self._process is None:
            # In a session of its own, so that a command that hangs is ended with it.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question.encode() + b"\n")
        self._process.stdin.flush()
        answer, deadline = b"", time.monotonic() + _COMMAND_S
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"the command did not end within {_COMMAND_S} s"
            piece = os.read(self._process.stdout.fileno(), 64)
            assert piece, f"what runs the commands has ended: {self._process.poll()}"
            answer += piece
        return int(answer)

    def _kill(self) -> None:
        """End it with the command that it is at; the next command starts another."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
