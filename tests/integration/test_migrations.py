import asyncio
import re
import sqlite3
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, text
from sqlalchemy.exc import IntegrityError

from tests.fakes.clock import FakeClock
from wherry.service.adapters.blob_index_sql import SqlBlobIndex
from wherry.service.adapters.database import Database
from wherry.service.adapters.packs_sql import SqlPackIndex
from wherry.service.adapters.submissions_sql import SqlSubmissionStore
from wherry.service.adapters.tables import events, metadata, runs
from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.errors import HashCollision, Unavailable
from wherry.service.domain.images.image import NamedImage
from wherry.service.domain.pack import PackMember
from wherry.service.domain.task import RunId
from wherry.service.ports.blob_index import BlobRecord


def schema_of(connection: Connection) -> dict[str, list[str]]:
    """The definitions that made each table and index, sorted: a later migration can only append to a table."""
    rows = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    )
    return {name: _definitions(sql) for name, sql in rows if name != "alembic_version"}


def _definitions(statement: str) -> list[str]:
    head, _, rest = re.sub(r"\s+", " ", statement).partition("(")
    body, _, tail = rest.rpartition(")")
    # A comma inside parentheses stands between columns of a key, or values of a CHECK.
    # SQLite puts the name of a table that was copied in quotes.
    return [
        head.replace('"', "").strip(),
        tail.strip(),
        *sorted(part.strip() for part in re.split(r",(?![^(]*\))", body)),
    ]


def migrate_to(version: str, connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "wherry.service.adapters:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def test_the_migrations_make_the_tables_that_the_code_expects(database: Database) -> None:
    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    assert asyncio.run(database.run(compare)) == []


def test_the_migrations_make_exactly_these_tables(sqlite_database: Database, tmp_path: Path) -> None:
    migrated = asyncio.run(sqlite_database.run(schema_of))
    fresh = create_engine(f"sqlite:///{tmp_path / 'fresh.sqlite'}")
    metadata.create_all(fresh)
    with fresh.begin() as connection:
        # Includes what Alembic does not compare: CHECK constraints and AUTOINCREMENT.
        assert migrated == schema_of(connection)
    fresh.dispose()


def test_opening_a_database_again_keeps_what_is_in_it(any_database_url: str) -> None:
    record = BlobRecord(hash=hash_content(b"a"), size_bytes=1, sha256="0" * 64)

    async def write_and_reopen() -> set[str]:
        first = await Database.open(any_database_url)
        await SqlBlobIndex(first, FakeClock()).add([record])
        await first.close()
        second = await Database.open(any_database_url)
        missing = await SqlBlobIndex(second, FakeClock()).find_missing([record.hash])
        await second.close()
        return set(missing)

    assert asyncio.run(write_and_reopen()) == set()


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str, tmp_path: Path) -> None:
    # A table of that name is in the way of the last step.
    with sqlite3.connect(tmp_path / "wherry.sqlite") as foreign:
        foreign.execute("CREATE TABLE results (other TEXT)")
    foreign.close()
    with pytest.raises(Unavailable, match="results"):
        asyncio.run(Database.open(database_url))
    with sqlite3.connect(tmp_path / "wherry.sqlite") as kept:
        assert kept.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [
            ("results",)
        ]
    kept.close()


def test_work_that_raises_is_undone(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(
            text(
                "INSERT INTO blobs (hash, size_bytes, sha256, created_at) VALUES ('a', 1, 'b', '2026-01-01 00:00:00')"
            )
        )
        raise KeyError("stop")

    with pytest.raises(KeyError):
        asyncio.run(database.run(work))
    count = asyncio.run(
        database.run(lambda connection: connection.execute(text("SELECT count(*) FROM blobs")).scalar_one())
    )
    assert count == 0


def test_events_of_no_run_and_unknown_states_are_refused_by_the_database_itself(database: Database) -> None:
    orphan = insert(events).values(run_id=1, sequence=1, payload="{}")
    with pytest.raises(IntegrityError):
        asyncio.run(database.run(lambda connection: connection.execute(orphan)))
    unknown = insert(runs).values(
        idempotency_key="k",
        user="u",
        name="n",
        project="p",
        rev="r",
        dirty=False,
        message="m",
        state="sleeping",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        compute_s=0,
        saved_s=0,
        write_backs="[]",
    )
    with pytest.raises(IntegrityError, match="ck_runs_state"):
        asyncio.run(database.run(lambda connection: connection.execute(unknown)))


def test_sqlite_runs_with_write_ahead_log_and_foreign_keys(sqlite_database: Database) -> None:
    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]

    assert asyncio.run(sqlite_database.run(settings)) == ["wal", 1, 1]


def test_a_database_that_cannot_be_opened_says_so_without_its_statements(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        asyncio.run(Database.open(f"sqlite:///{tmp_path / 'absent' / 'wherry.sqlite'}"))
    assert "unable to open database file" in caught.value.message
    assert "SELECT" not in caught.value.message


@pytest.mark.parametrize("version", ["0001", "0002"])
def test_blobs_of_older_versions_are_kept_and_foreign_ones_can_join_them(
    any_database_url: str, version: str
) -> None:
    old = BlobRecord(hash=hash_content(b"old"), size_bytes=3, sha256="ab" * 32)
    foreign = BlobRecord(hash=hash_content(b"foreign"), size_bytes=7, sha256=None)
    engine = create_engine(any_database_url)
    with engine.begin() as connection:
        migrate_to(version, connection)
        statement = (
            "INSERT INTO blobs (hash, size_bytes, sha256, created_at) VALUES (:hash, 3, :sha256, :now)"
        )
        values = {"hash": old.hash, "sha256": old.sha256, "now": "2026-01-02 03:04:05.000000"}
        connection.execute(text(statement), values)
    engine.dispose()

    async def migrate_and_look() -> dict[BlobHash, BlobRecord]:
        database = await Database.open(any_database_url)
        index = SqlBlobIndex(database, FakeClock())
        await index.add([foreign])
        with pytest.raises(HashCollision):
            await index.add([replace(old, sha256="cd" * 32)])
        # A file of an older version's submission may come again, in a pack.
        packs = SqlPackIndex(database, FakeClock())
        assert await packs.add("p", 9, [PackMember(old.hash, "ab" * 32, 6, 3)]) == {old.hash}
        with pytest.raises(HashCollision):
            await packs.add("q", 9, [PackMember(old.hash, "cd" * 32, 6, 3)])
        found = await index.find([old.hash, foreign.hash])
        await database.close()
        return found

    assert asyncio.run(migrate_and_look()) == {old.hash: old, foreign.hash: foreign}


def test_a_run_of_a_version_that_kept_no_images_can_be_reopened(any_database_url: str) -> None:
    engine = create_engine(any_database_url)
    with engine.begin() as connection:
        migrate_to("0014", connection)
        columns = {
            "idempotency_key": "k",
            "name": "n",
            "project": "p",
            "rev": "r",
            "message": "m",
            "state": "running",
            "created_at": "2026-01-02 03:04:05.000000",
            "write_backs": "[]",
        }
        names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        connection.execute(
            text(
                f'INSERT INTO runs (id, "user", dirty, compute_s, saved_s, {names}) '
                f"VALUES (1, 'u', false, 0, 0, {values})"
            ),
            columns,
        )
        row = {"run_id": 1, "content": zlib.compress(b"content")}
        connection.execute(text("INSERT INTO submissions VALUES (:run_id, :content)"), row)
    engine.dispose()

    async def migrate_and_look() -> tuple[bytes | None, tuple[NamedImage, ...]]:
        database = await Database.open(any_database_url)
        submissions = SqlSubmissionStore(database)
        found = await submissions.find(RunId("1")), await submissions.find_images(RunId("1"))
        await database.close()
        return found

    assert asyncio.run(migrate_and_look()) == (b"content", ())
