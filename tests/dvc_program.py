"""Real DVC as a program: a process for each command, forked from one that has DVC's modules loaded already.

To load them takes most of a second, which is longer than most commands need. What a command does, and leaves in
memory, ends with its process, as it does on a command line.
"""

import atexit
import functools
import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / ".venv-dvc" / "bin"

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
        self._process = subprocess.Popen(
            [_FOLDER / "python", "-c", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, arguments: tuple[str, ...], *, cwd: Path, env: Mapping[str, str], stdin: str
    ) -> "subprocess.CompletedProcess[str]":
        """Have it run a command in a process of its own."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder, self._one_at_a_time:
            streams = Path(folder)
            (streams / "in").write_text(stdin)
            asked = {"arguments": arguments, "cwd": str(cwd), "env": dict(env), "streams": folder}
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            out, err = ((streams / name).read_bytes().decode() for name in ("out", "err"))
        return subprocess.CompletedProcess(["dvc", *arguments], code, out, err)

    def end(self) -> None:
        """End it."""
        self._process.communicate()


@functools.cache
def _loaded() -> _Loaded:
    loaded = _Loaded()
    atexit.register(loaded.end)
    return loaded
