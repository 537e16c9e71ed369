"""Copying a file's content with the least work that the file systems allow."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

# What kernels and file systems answer when they cannot copy between these two files by themselves.
_NOT_IN_KERNEL = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})

_STEP_BYTES = 1 << 30


def copy_content(source: int, target: int) -> None:
    """Copy all bytes between two descriptors, the target being empty.

    Where the file system can share the blocks (XFS, Btrfs), copy_file_range does.
    """
    try:
        while os.copy_file_range(source, target, _STEP_BYTES):
            pass
    except OSError as exc:
        if exc.errno not in _NOT_IN_KERNEL:
            raise
        with (
            os.fdopen(source, "rb", closefd=False) as reader,
            os.fdopen(target, "wb", closefd=False) as writer,
        ):
            shutil.copyfileobj(reader, writer)


def copy_file(
    source: str | Path,
    target: str | Path,
    mode: int,
    owner: tuple[int, int] | None = None,
    *,
    finish: Callable[[int], None] | None = None,
) -> None:
    """Copy a file, never through a link, to a new name with these permissions and this uid and gid.

    `finish` gets the new file, open, when all else is done.
    """
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writer = os.open(target, flags, 0o600)
        try:
            copy_content(reader, writer)
            os.fchmod(writer, mode)
            if owner is not None:
                os.fchown(writer, *owner)
            if finish is not None:
                finish(writer)
        finally:
            os.close(writer)
    finally:
        os.close(reader)
