"""Tokens in both databases."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from wherry.service.adapters.database import Database
from wherry.service.adapters.tables import tokens
from wherry.service.adapters.tokens_sql import RandomTokenSource, SqlTokenStore
from wherry.service.domain.tokens import TokenRecord, token_hash

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def record(name: str, **facts: datetime) -> TokenRecord:
    return TokenRecord(name=name, user="ana", created_at=NOW, **facts)


def test_a_token_is_found_by_its_hash_until_it_is_removed(database: Database) -> None:
    async def check() -> None:
        store = SqlTokenStore(database)
        token = RandomTokenSource().make()
        kept = record("b", expires_at=NOW + timedelta(days=1))
        assert await store.add(kept, token_hash(token))
        assert await store.add(record("A"), token_hash("other"))
        # A name is taken once.
        assert not await store.add(record("b"), token_hash("third"))
        assert await store.list_records() == [record("A"), kept]
        assert await store.find(token_hash(token)) == kept
        assert await store.find(token) is None
        assert await store.find(token_hash("third")) is None
        later = NOW + timedelta(hours=1)
        await store.note_use("b", later)
        used = record("b", expires_at=NOW + timedelta(days=1), used_at=later)
        assert await store.find(token_hash(token)) == used
        assert await store.remove("b") == used
        assert await store.remove("b") is None
        assert await store.find(token_hash(token)) is None
        assert await store.list_records() == [record("A")]

    asyncio.run(check())


def test_what_holders_show_is_long_new_each_time_and_in_no_row(database: Database) -> None:
    async def check() -> None:
        made = {RandomTokenSource().make() for _ in range(100)}
        assert len(made) == 100
        token = made.pop()
        assert token.startswith("wherry_")
        assert len(token) >= len("wherry_") + 43
        await SqlTokenStore(database).add(record("a"), token_hash(token))
        rows = await database.run(lambda connection: connection.execute(select(tokens)).all())
        assert token.removeprefix("wherry_") not in str(rows)

    asyncio.run(check())
