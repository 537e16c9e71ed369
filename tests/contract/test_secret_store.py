"""Secrets in both databases: kept encrypted, bound to where they belong."""

import asyncio
import base64
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from wherry.service.adapters.database import Database
from wherry.service.adapters.secrets_sql import SqlSecretStore, read_or_make_key
from wherry.service.adapters.tables import secrets
from wherry.service.domain.errors import Precondition, SecretUnreadable
from wherry.service.domain.secrets import SecretRecord

NOW = datetime(2026, 1, 2, tzinfo=UTC)
VALUE = b"hunter2 \xff\n"


@pytest.fixture
def store(database: Database) -> SqlSecretStore:
    return SqlSecretStore(database, key=b"k" * 32)


def test_a_secret_comes_back_to_its_project_alone_and_the_newest_counts(store: SqlSecretStore) -> None:
    async def check() -> None:
        await store.put("p", "B", b"old value", user="ana", now=NOW)
        await store.put("p", "B", VALUE, user="ben", now=NOW)
        await store.put("p", "A", b"other", user="ana", now=NOW)
        assert await store.list_records("p") == [
            SecretRecord(name="A", user="ana", set_at=NOW),
            SecretRecord(name="B", user="ben", set_at=NOW),
        ]
        assert await store.reveal("p", ["B", "C"]) == {"B": VALUE}
        assert await store.reveal("p", []) == {}
        assert await store.reveal("q", ["B"]) == {}
        assert await store.list_records("q") == []
        assert not await store.remove("q", "B")
        assert await store.remove("p", "B")
        assert not await store.remove("p", "B")
        assert await store.reveal("p", ["B"]) == {}

    asyncio.run(check())


def test_the_database_has_no_value_in_it_and_what_is_moved_or_of_another_key_does_not_open(
    store: SqlSecretStore, database: Database
) -> None:
    async def check() -> None:
        for name in ("A", "B"):
            await store.put("p", name, VALUE, user="ana", now=NOW)
        rows = await database.run(lambda connection: connection.execute(select(secrets)).all())
        sealed = [base64.b64decode(row.sealed) for row in rows]
        assert sealed[0] != sealed[1]
        assert not any(VALUE[:4] in one for one in sealed)
        with pytest.raises(SecretUnreadable, match="'A'") as caught:
            await SqlSecretStore(database, key=b"K" * 32).reveal("p", ["A"])
        assert "wherry secret set A" in caught.value.hint
        moved = update(secrets).where(secrets.c.name == "B").values(sealed=rows[0].sealed)
        await database.run(lambda connection: connection.execute(moved))
        with pytest.raises(SecretUnreadable):
            await store.reveal("p", ["B"])

    asyncio.run(check())


def test_a_key_is_made_once_for_its_owner_alone_or_taken_as_given(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    key = read_or_make_key("", path)
    assert len(key) == 32
    assert read_or_make_key("", path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    given = os.urandom(32)
    assert read_or_make_key(base64.b64encode(given).decode(), path) == given
    for wrong in ("short", base64.b64encode(b"x").decode()):
        with pytest.raises(Precondition, match="WHERRY_SECRETS_KEY") as caught:
            read_or_make_key(wrong, path)
        assert wrong not in str(caught.value)
