"""Waiting for parts of the service that do not answer for a while."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from wherry.service.domain.errors import DiskFull, Unavailable
from wherry.service.ports.clock import Clock

_T = TypeVar("_T")

AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)
"""How long to wait before each further try: about four minutes in all. An engine or a database that is restarted is
back before; one that is gone for longer needs somebody who looks after it."""


async def patiently(call: Callable[[], Awaitable[_T]], clock: Clock) -> _T:
    """Call until it works; as often as is sensible.

    Raises:
        Unavailable: what the last call said.
    """
    for wait_s in AGAIN_S:
        try:
            return await call()
        except DiskFull:
            raise
        except Unavailable:
            await clock.sleep(wait_s)
    return await call()
