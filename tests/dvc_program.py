"""Real DVC as a program: a process for each command, forked from one that has DVC's modules loaded already."""

import atexit
import functools
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.loaded_program import LoadedProgram

_FOLDER = Path(__file__).parents[1] / ".venv-dvc" / "bin"

# Nothing that is imported here starts a thread or reads the environment for good.
_LOADING = """
import configobj, dvc_s3, dulwich.porcelain, dulwich.worktree, dvc_render, flatten_dict, flufl.lock, networkx.algorithms, psutil
import dvc.cachemgr, dvc.cli.parser, dvc.dagascii, dvc.data_cloud, dvc.daemon, dvc.dirs, dvc.lock, dvc.repo.artifacts
import dvc.repo.datasets, dvc.repo.index, dvc.repo.metrics, dvc.repo.open_repo, dvc.repo.params, dvc.repo.plots
import dvc.repo.reproduce, dvc.repo.stage, dvc.rwlock, dvc.scm, dvc.utils.strictyaml, dvc_data.hashfile.db.local
import fsspec.implementations.memory, platformdirs.unix, rich.json, rich.live, rich.progress, rich.table, ruamel.yaml, s3fs
from dvc.cli import main

dvc.cli.parser.get_main_parser()
"""


def run_dvc(
    *arguments: str, cwd: Path, env: Mapping[str, str], stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a command of DVC in a folder, to its end."""
    return _loaded().run(["dvc", *arguments], cwd=cwd, env=env, stdin=stdin)


@functools.cache
def _loaded() -> LoadedProgram:
    loaded = LoadedProgram(_FOLDER / "python", _LOADING)
    atexit.register(loaded.end)
    return loaded
