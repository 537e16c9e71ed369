"""Real DVC as one process that stays: it is asked, something is done to the folder, and it is asked again."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.harness import DVC_FOLDER, dvc_environment

# Commands of stages write to the process's own output, so the answers go to a copy of it.
_SCRIPT = """
import json, os, shutil, sys
from pathlib import Path
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
import dvc.repo.reproduce as reproduction

answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
silence = os.open(os.devnull, os.O_WRONLY)
os.dup2(silence, 1)
os.dup2(silence, 2)

def described(stage, root):
    # Loads, and fails when it is run.
    assert stage.is_data_source or isinstance(stage.cmd, str) or all(isinstance(line, str) for line in stage.cmd), "cmd"
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    return {
        "cmd": stage.cmd,
        "wdir": os.path.relpath(stage.wdir, root),
        "deps": [dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)],
        # Recorded so.
        "params": sorted([os.path.normpath(dep.def_path), sorted(set(dep.params)) or None] for dep in params),
        "outs": [[o.def_path, bool(o.use_cache), bool(o.metric), bool(o.plot), bool(o.can_push), bool(o.persist)] for o in stage.outs],
        "frozen": bool(stage.frozen),
        "always_changed": bool(stage.always_changed),
    }

def init(question):
    Repo.init(question["folder"], no_scm=True).close()
    with Repo() as repo:
        for path in question["added"]:
            repo.add([path])

def load(question):
    with Repo() as repo:
        repo.index.check_graph()
        graph = repo.index.graph
        for stage in repo.index.stages:
            assert stage.is_data_source or stage.cmd, "cmd"
        return {
            "stages": {
                s.addressing: described(s, question["folder"])
                for s in repo.index.stages if not s.path.endswith(".dvc")
            },
            "upstream": {
                s.addressing: sorted(other.addressing for other in graph.successors(s)) for s in repo.index.stages
            },
        }

def status(question):
    with Repo() as repo:
        return repo.status()

def repro(question):
    told = []
    error = ""
    def one(stage, **kwargs):
        told.append([stage.addressing, False])
        done = original(stage, **kwargs)
        told[-1][1] = done is not None
        return done
    original = reproduction._reproduce_stage
    with Repo() as repo:
        try:
            repo.reproduce(
                question["targets"] or None, all_pipelines=not question["targets"], repro_fn=one, on_error="fail"
            )
        except Exception as exc:
            error = f"{type(exc).__name__}: {exc} / {exc.__cause__!r}"
    return {"told": told, "error": error}

for line in sys.stdin:
    question = json.loads(line)
    os.chdir(question["folder"])
    try:
        answer = {"answer": globals()[question["ask"]](question)}
    except Exception as exc:
        answer = {"error": f"{type(exc).__name__}: {exc}"}
    answers.write(json.dumps(answer, default=str) + "\\n")
    answers.flush()
"""


class DvcRefused(Exception):
    """DVC said that something is wrong; the text is its own."""


class DvcProcess:
    """Answers one question after another."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Ask this process."""
        self._process = process

    def ask(self, what: str, folder: Path, **more: object) -> Any:
        """Ask for init, load, status or repro in a folder.

        Raises:
            DvcRefused: when DVC does.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = {"ask": what, "folder": str(folder), **more}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise DvcRefused(answer["error"])
        return answer["answer"]


@contextlib.contextmanager
def dvc_process(scratch: Path) -> Iterator[DvcProcess]:
    """Start it; what DVC keeps outside projects goes to `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    environment = {**dvc_environment(), "DVC_SITE_CACHE_DIR": str(scratch / "site")}
    argv = [str(DVC_FOLDER / "python"), "-c", _SCRIPT]
    with subprocess.Popen(
        argv, cwd=scratch, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield DvcProcess(process)
        finally:
            process.kill()  # it keeps nothing, and may be at a question that was given up
