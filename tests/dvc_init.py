"""Projects as `dvc init` makes them: it takes a second to start and does the same each time, so it does it once."""

import functools
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.dvc_program import run_dvc


def init_dvc(root: Path) -> None:
    """Make a folder with a git repository a DVC project."""
    for name, content in _made_by_dvc().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@functools.cache
def _made_by_dvc() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        subprocess.run(["git", "init", "-q", root], check=True)
        run_dvc("init", "-q", cwd=root, env={**os.environ, "DVC_NO_ANALYTICS": "1"}).check_returncode()
        files = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        return {path.as_posix(): (root / path).read_bytes() for path in files if path.parts[0] != ".git"}
