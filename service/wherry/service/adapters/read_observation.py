"""Seeing which files a stage read, by their access times.

A file laid out for one workspace alone gets an access time long before its modification time. Linux then sets the
access time at the first read, on mounts with `relatime` (the default) as with `strictatime`: read, mmap, execution,
sendfile and reflinks count, stat, listing and opening do not. Access times are in the file system, so what was read is
still known when the service was restarted meanwhile. With `noatime` nothing is seen, and the probe says so.
"""

import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

# Before all reads, and before the modification time. No clock of a machine in use says either.
_UNREAD_NS = 0
_LAID_OUT_NS = 946_684_800 * 10**9
"""2000-01-01: the same for every file of every workspace, so that archives of sources are the same too."""


def mark_unread(file: int) -> int:
    """Prepare an open file that nobody else has; returns its inode, which `find_read` asks for."""
    os.utime(file, ns=(_UNREAD_NS, _LAID_OUT_NS))
    return os.fstat(file).st_ino


def sees_reads(folder: Path) -> bool:
    """Try whether reads leave a trace in this folder."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".reads-") as file:
        file.write(b"read me")
        file.flush()
        mark_unread(file.fileno())
        path = Path(file.name)
        path.read_bytes()
        return path.stat().st_atime_ns != _UNREAD_NS


def find_read(workspace: Path, files: Iterable[str], inodes: Mapping[str, int]) -> list[str]:
    """Say which of these files, named relative to the workspace, were read since they were marked.

    One whose inode is not the one of `inodes`, or that is gone, may have been read before it was replaced, and
    counts. So may one that `inodes` does not know, and that was written to.
    """
    return [path for path in files if _was_read(workspace, path, inodes.get(path))]


def _was_read(workspace: Path, path: str, inode: int | None) -> bool:
    try:
        # The last name is not followed, and of what lies behind a link on the way only times are looked at.
        found = os.lstat(f"{workspace}/{path}")
    except OSError:
        return True
    if not stat.S_ISREG(found.st_mode) or (inode is not None and found.st_ino != inode):
        return True
    if found.st_atime_ns == _UNREAD_NS:
        return False
    # Read only after the stage itself had written it: it is none of its inputs. Times are coarse: equal ones say
    # nothing of the order.
    was_written_first = found.st_mtime_ns != _LAID_OUT_NS and found.st_atime_ns > found.st_mtime_ns
    return not was_written_first or inode is None
