"""Removing a folder that a hostile program filled.

It may be nested deeper than any recursion or path goes, and forbid everything to everybody. So no path is
ever built: a subfolder is first moved up beside the folder being removed, and has its turn later. Symbolic
links are removed, never followed.
"""

import contextlib
import itertools
import os
import stat
import uuid
from pathlib import Path

_ENTRIES_AT_ONCE = 10_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_folder(folder: Path) -> None:
    """Remove it with all that is in it; harmless when it is gone.

    The caller must be root, or own everything in it. While it runs, the parent folder holds entries named
    `.removed-…`; a removal that was interrupted leaves them.
    """
    parent = os.open(folder.parent, _FOLDER)
    try:
        pending = [folder.name]
        while pending:
            # Gone: somebody else removes it as well.
            with contextlib.suppress(FileNotFoundError):
                _remove_entry(parent, pending.pop(), pending)
    finally:
        os.close(parent)


def _remove_entry(parent: int, name: str, pending: list[str]) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    _allow_all(parent, name)
    folder = os.open(name, _FOLDER, dir_fd=parent)
    try:
        _empty(parent, folder, pending)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)


def _empty(parent: int, folder: int, pending: list[str]) -> None:
    """Remove the files of `folder` and move its subfolders up, to be removed later."""
    while True:
        with os.scandir(folder) as entries:
            some = list(itertools.islice(entries, _ENTRIES_AT_ONCE))
        if not some:
            return
        for entry in some:
            if entry.is_dir(follow_symlinks=False):
                # Moving a folder writes to it: its ".." changes.
                _allow_all(folder, entry.name)
                moved = f".removed-{uuid.uuid4().hex}"
                os.rename(entry.name, moved, src_dir_fd=folder, dst_dir_fd=parent)
                pending.append(moved)
            else:
                os.unlink(entry.name, dir_fd=folder)


def _allow_all(parent: int, name: str) -> None:
    """Let the owner do everything with a folder; root needs no leave."""
    if os.geteuid() == 0:
        return
    # O_PATH needs no rights on the folder itself; chmod by name would follow a link.
    folder = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{folder}").chmod(stat.S_IRWXU)
    finally:
        os.close(folder)
