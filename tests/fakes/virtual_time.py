"""An event loop in which nobody waits: when all wait for a time, it is that time."""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import TypeVar, TypeVarTuple, Unpack

from wherry.service.ports.clock import Clock

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class _Impatient(selectors.DefaultSelector):
    """Moves the time of a loop instead of waiting for it."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.now_s += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """What goes to threads elsewhere is done at once here: the same calls always come in the same order."""

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        done: asyncio.Future[_T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001 - it belongs to whoever waits for it
            done.set_exception(exc)
        return done


class LoopClock(Clock):
    """Tells the time of the loop that it is asked in."""

    def now(self) -> datetime:
        return _BEGIN + timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
