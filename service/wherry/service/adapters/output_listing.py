"""What a stage has left of its outputs, for people: cheap, bounded, and never an error."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from wherry.service.adapters.confined_folder import ConfinedFolder, Identity, LinkUnusable, Parts
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.ports.workspaces import LeftOutput

# Beyond it a folder is told to have at least so many.
_FILES_MAX = 10_000


def list_left(
    workspace: Path, workspace_at: str, mounts: Mapping[Identity, Path], outputs: list[ProjectPath]
) -> tuple[LeftOutput, ...]:
    """The declared outputs that exist, with their sizes; what cannot be read is left out. Blocks."""
    with ConfinedFolder(workspace, workspace_at, mounts) as folder:
        return tuple(left for output in outputs if (left := _look_at(folder, output)) is not None)


def _look_at(folder: ConfinedFolder, output: ProjectPath) -> LeftOutput | None:
    try:
        found = folder.resolve(() if output == ROOT else tuple(output.split("/")))
        if stat.S_ISDIR(found.mode):
            files, total_bytes = _count(folder, found.parts)
            return LeftOutput(project_path=output, total_bytes=total_bytes, files=files)
        if not stat.S_ISREG(found.mode):
            return None
        with folder.open_file(found.parts) as file:
            return LeftOutput(project_path=output, total_bytes=os.fstat(file).st_size)
    except (OSError, LinkUnusable):
        return None


def _count(folder: ConfinedFolder, top: Parts) -> tuple[int, int]:
    files = total_bytes = 0
    pending = [top]
    while pending and files < _FILES_MAX:
        here = pending.pop()
        with folder.list_folder(here) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append((*here, entry.name))
                else:
                    files += 1
                    total_bytes += entry.stat(follow_symlinks=False).st_size
                if files >= _FILES_MAX:
                    break
    return files, total_bytes
