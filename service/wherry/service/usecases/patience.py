"""Waiting for parts of the service that do not answer for a while."""

import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from wherry.service.domain.errors import DiskFull, Unavailable
from wherry.service.ports.clock import Clock

_T = TypeVar("_T")

AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)
"""How long to wait before each further try: about four minutes in all. An engine or a database that is restarted is
back before; one that is gone for longer needs somebody who looks after it."""


async def patiently(
    call: Callable[[], Awaitable[_T]], clock: Clock, *, tell: Callable[[str], Awaitable[None]] | None = None
) -> _T:
    """Call until it works; as often as is sensible. `tell` is told what is waited for, before each wait.

    Raises:
        Unavailable: what the last call said.
    """
    for wait_s in AGAIN_S:
        try:
            return await call()
        except DiskFull:
            raise
        except Unavailable as exc:
            if tell is not None:
                await tell(exc.message)
            await clock.sleep(wait_s)
    return await call()


async def until_kept(call: Callable[[], Awaitable[_T]], clock: Clock) -> _T:
    """Call until it works, however long that takes: of what cannot be recorded nobody could ever be told."""
    for wait_s in itertools.chain(AGAIN_S, itertools.repeat(AGAIN_S[-1])):
        try:
            return await call()
        except Unavailable:
            await clock.sleep(wait_s)
    raise AssertionError("the waits never end")
