"""Whether files are still the ones that were put in place.

Inputs cannot be written to, but a stage may move others over them: programs that change a file "in place" mostly do.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from wherry.service.domain.paths import ProjectPath

Stamp = tuple[int, int, int, int]
"""Kind, inode, length and time of change of the content; nothing that a mere look changes."""


def stamp_files(workspace: Path, paths: Iterable[ProjectPath]) -> Mapping[ProjectPath, Stamp]:
    """Stamp the files at and below these paths, as laid out: nobody else is in the workspace yet."""
    stamps: dict[ProjectPath, Stamp] = {}
    pending = list(paths)
    while pending:
        path = pending.pop()
        state = (workspace / path).lstat()
        if stat.S_ISDIR(state.st_mode):
            names = [entry.name for entry in (workspace / path).iterdir()]
            pending += [ProjectPath(f"{path}/{name}" if path else name) for name in names]
        else:
            stamps[path] = _stamp(state)
    return stamps


def find_changed(workspace: Path, stamps: Mapping[ProjectPath, Stamp]) -> list[ProjectPath]:
    """Those that are gone or something else now. Whatever the stage put there is looked at, not read."""
    return sorted(path for path, stamp in stamps.items() if _stamp_of(workspace / path) != stamp)


def _stamp_of(path: Path) -> Stamp | None:
    try:
        return _stamp(path.lstat())
    except OSError:
        return None


def _stamp(state: os.stat_result) -> Stamp:
    return stat.S_IFMT(state.st_mode), state.st_ino, state.st_size, state.st_mtime_ns
