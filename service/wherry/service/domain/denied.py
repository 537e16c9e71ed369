"""What a failed stage could not write, by what it said: what it reads, or more than there is room for."""

import posixpath
import re
from collections.abc import Collection, Iterable

from wherry.service.domain.images.missing import Missing

# Shells and tools of the system, and Python.
_DENIED = re.compile(
    r"(?:^|[\s'\"])(?P<path>[^\s'\":]+)['\"]?: (?:Permission denied|Read-only file system)$"
    r"|^(?:PermissionError|OSError): \[Errno \d+\] (?:Permission denied|Read-only file system): '(?P<python>[^']+)'"
)
_FULL = re.compile(r"No space left on device|Disk quota exceeded")


def find_denied(lines: Iterable[str], folder: str, inputs: Collection[str]) -> Missing | None:
    """Look in the last lines for an input that was to be written, or for a disk that is full; None: it is something else.

    `folder`, the one that the stage runs in, and `inputs` are absolute, as in the container.
    """
    for line in reversed(list(lines)):
        if _FULL.search(line):
            return Missing(
                "there was no room for what it wrote",
                "What a stage writes to HOME, to /tmp and to /dev/shm is in memory, and bounded: large files belong into a folder of the project, "
                "which is on the disk of the service's machine. `wherry doctor` says what is free there.",
            )
        found = _DENIED.search(line.strip())
        if found is None:
            continue
        path = posixpath.normpath(posixpath.join(folder, found["path"] or found["python"]))
        if any(path == one or path.startswith(f"{one}/") for one in inputs):
            shown = posixpath.relpath(path, folder)
            return Missing(
                f"{shown!r} is an input, which a stage cannot change",
                "What was computed would not belong to its inputs any more: write to an output of the stage (outs in dvc.yaml), "
                "or copy the input and change the copy.",
            )
    return None
