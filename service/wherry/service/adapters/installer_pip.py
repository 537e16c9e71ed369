"""The program that installs packages into images: our own pip, so that an image needs none."""

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from wherry.service.ports.images import Content


def pip_version() -> str:
    """Name and version, for keys."""
    return f"pip {importlib.metadata.version('pip')}"


def pip_program() -> Mapping[str, Content]:
    """Its files by relative path: a package that Python runs by the path of its folder."""
    found = importlib.util.find_spec("pip")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("pip is not installed beside the service")
    folder = Path(found.submodule_search_locations[0])
    return {
        f"installer/pip/{path.relative_to(folder)}": Content(source=path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
