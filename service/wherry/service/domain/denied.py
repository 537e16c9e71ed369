"""That a failed stage tried to change what it reads, by what it wrote."""

import posixpath
import re
from collections.abc import Collection, Iterable

from wherry.service.domain.images.missing import Missing

# Shells and tools of the system, and Python.
_DENIED = re.compile(
    r"(?:^|[\s'\"])(?P<path>[^\s'\":]+)['\"]?: (?:Permission denied|Read-only file system)$"
    r"|^(?:PermissionError|OSError): \[Errno \d+\] (?:Permission denied|Read-only file system): '(?P<python>[^']+)'"
)


def find_denied(lines: Iterable[str], folder: str, inputs: Collection[str]) -> Missing | None:
    """Look in the last lines for an input, or a file in one, that was to be written; None: it is something else.

    `folder`, the one that the stage runs in, and `inputs` are absolute, as in the container.
    """
    for line in reversed(list(lines)):
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
