"""Ctrl-C as what it is, and soon.

One that strikes while Python takes or gives back a lock comes out as an error of that lock; and what is unwound by it may
wait for threads that go on with gigabytes. Nothing is half written when they are left alone: files are put into place
whole (placing.py).
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from wherry.client.cli import exits

_PATIENCE_S = 2.0


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """In this block Ctrl-C that nobody has heard of after a moment ends the program."""
    # Whoever called us may have it ignored, and Windows has no timers.
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and hasattr(signal, "setitimer")
    )
    if not is_ours:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def told_as_such() -> Iterator[None]:
    """Make KeyboardInterrupt again of whatever error it was turned into inside of the block."""
    try:
        yield
    except BaseException as error:
        if not _came_of_interrupt(error):
            raise
        _hear()
        if isinstance(error, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from error


@contextlib.contextmanager
def ignored() -> Iterator[None]:
    """End the block at Ctrl-C, and go on."""
    with contextlib.suppress(KeyboardInterrupt), told_as_such():
        yield


def leave(code: int) -> None:
    """End the program now if threads still work for what was interrupted: Python would wait for them."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in others):
        os._exit(code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    raise KeyboardInterrupt


def _hear() -> None:
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is _give_up:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    # Not by `print`: it may be what was interrupted.
    os.write(2, b"interrupted\n")
    os._exit(exits.INTERRUPTED)


def _came_of_interrupt(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False
