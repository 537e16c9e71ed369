"""Tokens in the table `tokens`, and what makes them."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update

from wherry.service.adapters.database import Database
from wherry.service.adapters.tables import tokens
from wherry.service.domain.tokens import TokenRecord
from wherry.service.ports.tokens import TokenSource, TokenStore

_RANDOM_BYTES = 32
_TOLD = (tokens.c.name, tokens.c.user, tokens.c.created_at, tokens.c.used_at, tokens.c.expires_at)


class SqlTokenStore(TokenStore):
    """Tokens in SQL."""

    def __init__(self, database: Database) -> None:
        """Keep them in `database`."""
        self._database = database

    async def add(self, record: TokenRecord, hash_: str) -> bool:
        """See the port."""
        insert = self._database.insert(tokens).values(
            name=record.name,
            hash=hash_,
            user=record.user,
            created_at=record.created_at,
            used_at=record.used_at,
            expires_at=record.expires_at,
        )
        # Drivers do not agree on how many rows a conflict has written.
        statement = insert.on_conflict_do_nothing(index_elements=[tokens.c.name]).returning(tokens.c.name)
        written = await self._database.run(lambda connection: connection.execute(statement).one_or_none())
        return written is not None

    async def list_records(self) -> Sequence[TokenRecord]:
        """See the port."""
        statement = select(*_TOLD).order_by(tokens.c.name)
        rows = await self._database.run(lambda connection: connection.execute(statement).all())
        # The order of a database depends on its language.
        return sorted(map(_record, rows), key=lambda record: record.name)

    async def find(self, hash_: str) -> TokenRecord | None:
        """See the port."""
        statement = select(*_TOLD).where(tokens.c.hash == hash_)
        row = await self._database.run(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else _record(row)

    async def note_use(self, name: str, now: datetime) -> None:
        """See the port."""
        statement = update(tokens).where(tokens.c.name == name).values(used_at=now)
        await self._database.run(lambda connection: connection.execute(statement))

    async def remove(self, name: str) -> TokenRecord | None:
        """See the port."""
        statement = delete(tokens).where(tokens.c.name == name).returning(*_TOLD)
        row = await self._database.run(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else _record(row)


class RandomTokenSource(TokenSource):
    """Tokens that begin as the service's own does, so that scanners for secrets find them."""

    def make(self) -> str:
        """See the port."""
        return f"wherry_{secrets.token_urlsafe(_RANDOM_BYTES)}"


def _record(row: Any) -> TokenRecord:
    return TokenRecord(
        name=row.name,
        user=row.user,
        created_at=row.created_at,
        used_at=row.used_at,
        expires_at=row.expires_at,
    )
