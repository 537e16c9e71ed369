"""Many commands of Wherry and of DVC without a process for each: programs take longer to start than to answer."""

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.conformance.harness import dvc_python
from tests.e2e.harness import Finished, Service
from wherry.client.cli import main

_DVC = """
import contextlib, io, json, os, sys
import colorama
# It would put the true stdout back.
colorama.deinit = colorama.reinit = lambda: None
from dvc.cli import main
for line in sys.stdin:
    question = json.loads(line)
    os.chdir(question["folder"])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(question["arguments"])
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""

Question = tuple[str, tuple[str, ...]]
"""A folder of the project, and a command as words."""


def ask_dvc(root: Path, questions: Sequence[Question]) -> list[Finished]:
    """What real DVC answers."""
    asked = [json.dumps({"folder": str(root / folder), "arguments": words}) for folder, words in questions]
    answers = dvc_python(root, _DVC, "\n".join(asked)).splitlines()
    return [Finished(*json.loads(line)) for line in answers if line]


def ask_wherry(service: Service, root: Path, questions: Sequence[Question]) -> list[Finished]:
    """What the command line answers."""
    with _environment(service.environment()):
        return [_ask(root / folder, words) for folder, words in questions]


def _ask(folder: Path, words: Sequence[str]) -> Finished:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["-C", str(folder), *words])
    code = ended.value.code
    assert isinstance(code, int)
    return Finished(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
