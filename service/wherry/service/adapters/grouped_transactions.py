"""Many pieces of work on one connection, committed together: for SQLite, which has one writer at a time.

What is asked for while a transaction goes on is done in the next one, all of it. Nobody is answered before the commit, so
that whoever has an answer may rely on it; who fails takes nobody along.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

_T = TypeVar("_T")

# A transaction that has taken so long takes no more work in: the first in it wait for its end too.
_FULL_AFTER_S = 0.01


@dataclass(slots=True)
class _Asked:
    """One piece of work, and who waits for it."""

    work: Callable[[Connection], Any]
    future: "asyncio.Future[Any]"
    answer: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Answer, unless nobody waits any more."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.answer)
        else:
            self.future.set_exception(self.error)


class GroupedTransactions:
    """Does work in the order in which it was asked for, in a thread. For one event loop at a time."""

    def __init__(self, engine: Engine) -> None:
        """Take one connection of the engine, when it is first needed, and keep it."""
        self._engine = engine
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, "sql")
        self._waiting: deque[_Asked] = deque()
        self._is_busy = False

    async def run(self, work: Callable[[Connection], _T]) -> _T:
        """Return what `work` returns once it is committed; it is done even when the caller is cancelled.

        Raises:
            Exception: what the work raises, or what kept it from being committed. Then nothing of it is kept.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(work, loop.create_future())
        self._waiting.append(asked)
        if not self._is_busy:
            self._go_on(loop)
        return cast(_T, await asked.future)

    async def close(self) -> None:
        """Finish what was asked for, and let go of the connection."""
        # Who asked for what cannot be done has been told.
        with contextlib.suppress(DBAPIError):
            await self.run(lambda _: None)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=True)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_busy = bool(self._waiting)
        if self._is_busy:
            asked, self._waiting = self._waiting, deque()
            self._thread.submit(self._commit, asked, loop)

    def _commit(self, asked: deque[_Asked], loop: asyncio.AbstractEventLoop) -> None:
        """Do a part of the work in one transaction, and hand back what is left."""
        done: list[_Asked] = []
        try:
            with self._connect().begin():
                self._do(asked, done)
        except BaseException as exc:  # noqa: BLE001 - told to whoever asked
            if isinstance(exc, DBAPIError):
                self._disconnect()
            if not done:
                # No transaction could be had. All of them have waited for it.
                done, asked = list(asked), deque()
            for one in done:
                one.error = one.error or exc
        # The loop is closed when the service was stopped without waiting.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._tell, done, asked, loop)

    def _do(self, asked: deque[_Asked], done: list[_Asked]) -> None:
        full_at = time.monotonic() + _FULL_AFTER_S
        connection = self._connect()
        is_alone = len(asked) == 1
        while asked and (not done or time.monotonic() < full_at):
            one = asked.popleft()
            done.append(one)
            if is_alone:
                one.answer = one.work(connection)
            else:
                self._do_apart(connection, one)

    def _do_apart(self, connection: Connection, one: _Asked) -> None:
        """What fails is taken back, and nothing else of the transaction."""
        # Past SQLAlchemy, for which a savepoint is more work than most of what it is for.
        driver: Any = connection.connection.dbapi_connection
        driver.execute("SAVEPOINT work")
        try:
            one.answer = one.work(connection)
        except BaseException as exc:
            one.error = exc
            if not driver.in_transaction:
                raise  # SQLite has given up all of it, as it does when the disk is full
            driver.execute("ROLLBACK TO work")
        driver.execute("RELEASE work")

    def _tell(self, done: Sequence[_Asked], left: deque[_Asked], loop: asyncio.AbstractEventLoop) -> None:
        for one in done:
            one.tell()
        left.extend(self._waiting)
        self._waiting = left
        self._go_on(loop)

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        """After a failure the next transaction begins on another connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
