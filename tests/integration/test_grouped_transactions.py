"""Work on one SQLite database, committed together."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from wherry.service.adapters.database import Database
from wherry.service.domain.errors import Unavailable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with a table of words."""
    file = tmp_path / "some.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE words (word TEXT)")
    return file


@contextlib.asynccontextmanager
async def _opened(file: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{file}")
    try:
        yield database
    finally:
        await database.close()


def _kept(file: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM words ORDER BY rowid")]


def _keeping(word: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.exec_driver_sql("INSERT INTO words VALUES (?)", (word,))
        return word

    return work


def test_what_is_asked_for_at_once_is_kept_in_order_in_fewer_transactions(file: Path) -> None:
    words = [f"w{number}" for number in range(60)]
    commits = 0

    def count(_: Connection) -> None:
        nonlocal commits
        commits += 1

    async def keep() -> list[str]:
        async with _opened(file) as database:
            event.listen(database._engine, "commit", count)
            return await asyncio.gather(*(database.run(_keeping(word)) for word in words))

    assert asyncio.run(keep()) == words
    assert _kept(file) == words
    # How many go together depends on the machine.
    assert commits < len(words)


def test_nobody_is_answered_before_what_was_done_is_committed(file: Path) -> None:
    async def keep() -> list[bool]:
        async with _opened(file) as database:

            async def is_kept(word: str) -> bool:
                await database.run(_keeping(word))
                return word in _kept(file)

            return await asyncio.gather(*(is_kept(f"w{number}") for number in range(20)))

    assert asyncio.run(keep()) == [True] * 20


def test_what_fails_takes_nobody_along_and_leaves_nothing(file: Path) -> None:
    def fail(connection: Connection) -> str:
        _keeping("of the one that fails")(connection)
        raise ValueError("for once")

    async def keep() -> list[str]:
        async with _opened(file) as database:
            works = [_keeping("first"), fail, _keeping("second"), fail, _keeping("third")]
            answers = await asyncio.gather(*(database.run(work) for work in works), return_exceptions=True)
            # And once alone.
            with pytest.raises(ValueError, match="for once"):
                await database.run(fail)
            return [*map(str, answers), await database.run(_keeping("last"))]

    assert asyncio.run(keep()) == ["first", "for once", "second", "for once", "third", "last"]
    assert _kept(file) == ["first", "second", "third", "last"]


def test_the_work_of_a_caller_who_is_cancelled_is_done(file: Path) -> None:
    async def keep() -> None:
        async with _opened(file) as database:
            asked = [asyncio.create_task(database.run(_keeping(f"w{number}"))) for number in range(3)]
            await asyncio.sleep(0)
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    asyncio.run(keep())
    assert _kept(file) == ["w0", "w1", "w2"]


def test_all_are_told_when_another_process_does_not_let_go_and_are_served_when_it_does(file: Path) -> None:
    async def keep() -> list[type]:
        async with _opened(file) as database:
            await database.run(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 1"))
            with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                works = [database.run(_keeping(f"w{number}")) for number in range(2)]
                refused = await asyncio.gather(*works, return_exceptions=True)
            await database.run(_keeping("again"))
            return [type(answer) for answer in refused]

    assert asyncio.run(keep()) == [Unavailable, Unavailable]
    assert _kept(file) == ["again"]


def test_where_there_is_no_database_that_is_said_and_it_can_be_closed(tmp_path: Path) -> None:
    async def keep() -> None:
        async with _opened(tmp_path / "nowhere" / "some.sqlite") as database:
            await database.run(_keeping("lost"))

    with pytest.raises(Unavailable, match="unable to open"):
        asyncio.run(keep())
