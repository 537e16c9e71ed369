"""What is said of a file that cannot be written: why, and what to do about it."""

import errno
import os

from wherry.client.errors import FileTrouble

_HINTS = {
    errno.ENOSPC: "make room on that disk, and do it again; what is in its place already stays",
    errno.EDQUOT: "make room within your quota, and do it again; what is in its place already stays",
    errno.EACCES: "it, or its folder, belongs to somebody else or is not to be written to: `ls -ld` shows that",
    errno.EROFS: "that disk is mounted read-only",
    errno.EISDIR: "a folder stands in its place",
    errno.ENOTDIR: "a file stands in the place of one of its folders",
}


def cannot_write(file: str | os.PathLike[str], exc: OSError) -> FileTrouble:
    """Make the error."""
    return FileTrouble(
        f"cannot write {os.fspath(file)}: {exc.strerror or exc}",
        hint=_HINTS.get(exc.errno or 0, ""),
    )
