"""Ctrl-C as what it is: one that strikes while Python takes or gives back a lock comes out as an error of that lock."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def told_as_such() -> Iterator[None]:
    """Make KeyboardInterrupt again of whatever error it was turned into inside of the block."""
    try:
        yield
    except Exception as error:
        if _came_of_interrupt(error):
            raise KeyboardInterrupt from error
        raise


def _came_of_interrupt(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False
