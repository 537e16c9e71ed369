"""Many questions to real DVC in one process: it takes longer to start than to answer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.conformance.harness import dvc_python

# A stage of DVC's plan is told instead of run; `ran` names those that are to count as run.
_REPRO = """
import json, os, sys
from dvc.repo import Repo
from dvc.exceptions import DvcException
for line in sys.stdin:
    question = json.loads(line)
    os.chdir(question["folder"])
    told = []
    def repro(stage, upstream, force, **kwargs):
        told.append([stage.addressing, force])
        return stage if stage.addressing in question["ran"] else None
    try:
        Repo().reproduce(question["targets"] or None, repro_fn=repro, **question["flags"])
        print(json.dumps(told))
    except DvcException:
        print("null")
"""

_DAG = """
import contextlib, io, json, os, sys
from dvc.cli import main
for line in sys.stdin:
    question = json.loads(line)
    os.chdir(question["folder"])
    text, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(errors):
        code = main(["dag", *question["arguments"]])
    print(json.dumps(text.getvalue() if code == 0 else None))
"""


class ReproQuestion(NamedTuple):
    """`dvc repro` as it is given in a folder of the project."""

    targets: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    folder: str = "."
    ran: tuple[str, ...] = ()


class Planned(NamedTuple):
    """One stage of DVC's plan, in the order of it."""

    address: str
    forced: bool


def ask_repro(root: Path, questions: Sequence[ReproQuestion]) -> list[list[Planned] | None]:
    """What DVC would go through; None where it refuses."""
    asked = [
        {
            "folder": str(root / question.folder),
            "targets": question.targets,
            "flags": dict.fromkeys(question.flags, True),
            "ran": question.ran,
        }
        for question in questions
    ]
    return [None if told is None else [Planned(*one) for one in told] for told in _ask(root, _REPRO, asked)]


def ask_dag(root: Path, questions: Sequence[tuple[str, tuple[str, ...]]]) -> list[str | None]:
    """What `dvc dag` prints, for folders and arguments; None where it refuses."""
    asked = [{"folder": str(root / folder), "arguments": arguments} for folder, arguments in questions]
    return _ask(root, _DAG, asked)


def _ask(root: Path, script: str, asked: Sequence[object]) -> list[Any]:
    answers = dvc_python(root, script, "\n".join(map(json.dumps, asked)))
    # DVC writes empty lines between stages.
    read = [json.loads(line) for line in answers.splitlines() if line]
    assert len(read) == len(asked), answers
    return read
