"""One SQL database: SQLite for a service of one process, PostgreSQL for several.

SQLAlchemy Core over a synchronous driver, in threads of its own, so that a slow query never holds up the event
loop. On SQLite transactions are put together (grouped_transactions). SQL itself stands in the adapters that use this. PostgreSQL needs the driver psycopg installed
(`postgresql+psycopg://…`); it is no dependency.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError

from wherry.service.adapters.grouped_transactions import GroupedTransactions
from wherry.service.domain.errors import Unavailable

T = TypeVar("T")

# As long as SQLite waits for another process's transaction, such as a backup's.
_SQLITE_BUSY_TIMEOUT_MS = 10_000

# The key of the lock that keeps two services from migrating at once: any constant does.
_MIGRATION_LOCK = 7_345_961


class Database:
    """A database whose tables are those of `tables`."""

    def __init__(self, url: str, *, connections: int = 8) -> None:
        """Prepare; nothing is opened yet. SQLite always gets one connection and one thread.

        One writer at a time is SQLite's own limit; readers beside it would gain nothing for queries this short.
        """
        parsed = make_url(url)
        self.is_shared = parsed.get_backend_name() != "sqlite"
        """Whether other processes may write to it too."""
        threads = connections if self.is_shared else 1
        # A postponed check of every connection costs a round trip, and spares a failed transaction after a
        # restart of PostgreSQL.
        self._engine = create_engine(parsed, pool_size=threads, max_overflow=0, pool_pre_ping=self.is_shared)
        self._grouped: GroupedTransactions | None = None
        if not self.is_shared:
            _set_up_sqlite(self._engine)
            self._grouped = GroupedTransactions(self._engine)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="sql")

    @classmethod
    async def open(cls, url: str, *, connections: int = 8) -> Self:
        """Connect and migrate the tables to the newest version, making them where there are none.

        Raises:
            Unavailable: if the database cannot be reached.
        """
        database = cls(url, connections=connections)
        try:
            await database.run(_migrate)
        except BaseException:
            await database.close()
            raise
        return database

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Execute `work` in a transaction, in a thread of the pool, and commit unless it raises.

        `work` runs to its end even when the caller is cancelled. On SQLite the transaction may be one with others' work:
        of what raises nothing is kept, and nobody is answered before the commit.

        Raises:
            Unavailable: if the database cannot be reached or stays locked.
        """
        if self._grouped is None:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._run_blocking, work)
        with _unavailable_for_driver_errors():
            return await self._grouped.run(work)

    async def close(self) -> None:
        """Finish what was begun and close all connections."""
        if self._grouped is not None:
            await self._grouped.close()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._engine.dispose)
        self._executor.shutdown(wait=True)

    def insert(self, table: Table) -> "sqlite.Insert | postgresql.Insert":
        """Begin an INSERT that knows ON CONFLICT, in the dialect of this database."""
        return postgresql.insert(table) if self.is_shared else sqlite.insert(table)

    def _run_blocking(self, work: Callable[[Connection], T]) -> T:
        with _unavailable_for_driver_errors(), self._engine.begin() as connection:
            return work(connection)


@contextlib.contextmanager
def _unavailable_for_driver_errors() -> Iterator[None]:
    try:
        yield
    except OperationalError as exc:
        raise _unavailable(exc) from exc
    except DBAPIError as exc:
        if exc.connection_invalidated:
            raise _unavailable(exc) from exc
        raise


def _unavailable(exc: DBAPIError) -> Unavailable:
    # Only the driver's own words: SQLAlchemy's text would add the statement and its values.
    return Unavailable(
        f"the database does not answer: {exc.orig}",
        hint="Check that the database runs, is not locked by another program, and has disk space left.",
    )


def _set_up_sqlite(engine: Engine) -> None:
    """Set what SQLite leaves to each connection (sqlite.org/pragma.html)."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # The driver must not begin transactions of its own (SQLAlchemy, "pysqlite", "Serializable isolation").
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL may lose the last transactions with the machine's power, never consistency.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _began(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail at once, without waiting, when another
        # process has written in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", "wherry.service.adapters:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
