"""Whether a service is at work in a folder: it holds a lock there, which the kernel takes back however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = "service.lock"


@contextmanager
def hold_home(home: Path) -> Iterator[None]:
    """Be known to be at work in a folder."""
    descriptor = os.open(home / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Shared: it keeps nobody out, it only shows.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def has_lock(home: Path) -> bool:
    """Whether a service was ever at work there."""
    return (home / _NAME).is_file()


def is_at_work(home: Path) -> bool:
    """Whether a service is at work there; also true where that cannot be told."""
    if not home.exists():
        return False
    try:
        descriptor = os.open(home / _NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
