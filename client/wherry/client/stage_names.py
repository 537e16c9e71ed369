"""Names of stages: from the DVC root on the wire and in JSON, from the folder of the command for people.

As DVC prints them: `train` for a stage of the dvc.yaml here, `../dvc.yaml:train`, `sub/dvc.yaml:train`, `data/x.dvc`.
"""

import posixpath
import re
from collections.abc import Container
from dataclasses import dataclass

_PIPELINE_FILE = "dvc.yaml"
# The key of a generated stage may hold anything, colons and slashes too: the first file counts.
_WITH_FILE = re.compile(r"((?:.*?/)?dvc\.yaml):(.+)", re.DOTALL)
_DATA_FILE = ".dvc"


@dataclass(frozen=True, slots=True)
class StageNames:
    """How names of stages read in a folder of the project."""

    folder: str = ""
    """Relative to the DVC root; empty for the root, where names read as on the wire."""

    def seen(self, name: str) -> str:
        """Write a name from the DVC root as seen from the folder."""
        if not self.folder or not name:
            return name
        file, key = _split(name)
        file = posixpath.relpath(file, self.folder)
        return key if key and file == _PIPELINE_FILE else _join(file, key)

    def find(self, typed: str, known: Container[str]) -> str:
        """Say which of the known names somebody means who types one: as seen from the folder, else from the DVC root.

        What is neither is returned as it was typed.
        """
        name = self.from_root(typed)
        return name if name in known else typed

    def from_root(self, seen: str) -> str:
        """Write a name as seen from the folder as on the wire."""
        file, key = _split(seen.removeprefix(":"))
        file = posixpath.normpath(posixpath.join(self.folder, file))
        return key if key and file == _PIPELINE_FILE else _join(file, key)


def _split(name: str) -> tuple[str, str]:
    """The file, and what is named in it; a .dvc file has nothing in it."""
    with_file = _WITH_FILE.fullmatch(name)
    if with_file:
        return with_file[1], with_file[2]
    return (name, "") if name.endswith(_DATA_FILE) else (_PIPELINE_FILE, name)


def _join(file: str, key: str) -> str:
    return f"{file}:{key}" if key else file
