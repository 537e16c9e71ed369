"""The command line as a program: a process for each command, forked from one that has its modules loaded already.

What stands between the shell and `main` is left to the tests that start the program itself.
"""

import atexit
import functools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.loaded_program import LoadedProgram

# As `main` loads the module of its one command.
_LOADING = """
import importlib
from wherry.client.cli import COMMANDS, main
from wherry.client.cli.quick_grpc import unused_put_off

with unused_put_off():
    for module, *_ in COMMANDS.values():
        importlib.import_module(f"wherry.client.cli.{module}")
"""


def run_wherry(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a command, the program's name first, in a folder, to its end."""
    return _loaded().run(command, cwd=cwd, env=env, stdin=stdin)


@functools.cache
def _loaded() -> LoadedProgram:
    # As the command line has it while gRPC is loaded.
    loaded = LoadedProgram(
        Path(sys.executable), _LOADING, environment={**os.environ, "GRPC_VERBOSITY": "NONE"}
    )
    atexit.register(loaded.end)
    return loaded
