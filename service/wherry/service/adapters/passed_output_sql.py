"""Output on its way from one service to others, in SQL: the PassedOutput port. One row a part, compressed."""

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, exists, select

from wherry.service.adapters.database import Database
from wherry.service.adapters.tables import leases, passed_output
from wherry.service.domain.task import AttemptId, LeaseToken
from wherry.service.ports.logs import LogStream
from wherry.service.ports.passed_output import OutputPart, PassedOutput

_PARTS = (
    select(passed_output)
    .where(passed_output.c.token == bindparam("wanted"), passed_output.c.number > bindparam("after"))
    .order_by(passed_output.c.number)
    .limit(bindparam("at_most"))
)

# Each has at most as many parts as one stage may write.
_SWEPT_AT_ONCE = 100
_OLD = passed_output.alias("old")
_OVER = (
    select(_OLD.c.token)
    .where(_OLD.c.written_at < bindparam("before"), ~exists().where(leases.c.token == _OLD.c.token))
    .distinct()
    .limit(_SWEPT_AT_ONCE)
)
_REMOVE = delete(passed_output).where(passed_output.c.token.in_(bindparam("over", expanding=True)))


class SqlPassedOutput(PassedOutput):
    """Parts in the table `passed_output`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, token: LeaseToken, part: OutputPart, *, now: datetime) -> None:
        """See the port."""
        add = (
            self._database.insert(passed_output)
            .values(
                token=token,
                number=part.number,
                attempt=part.attempt,
                content=_pack(part.lines),
                written_at=now,
            )
            .on_conflict_do_nothing()
        )
        await self._database.run(lambda connection: connection.execute(add))

    async def read_after(self, token: LeaseToken, number: int, *, limit: int) -> Sequence[OutputPart]:
        """See the port."""
        values = {"wanted": token, "after": number, "at_most": limit}
        return await self._database.run(
            lambda connection: [_part(row) for row in connection.execute(_PARTS, values)]
        )

    async def sweep(self, *, before: datetime) -> bool:
        """See the port. A token is never used again: what is over stays over."""
        values = {"before": before}
        over = await self._database.run(lambda connection: connection.execute(_OVER, values).scalars().all())
        if over:
            await self._database.run(lambda connection: connection.execute(_REMOVE, {"over": over}))
        return len(over) == _SWEPT_AT_ONCE


def _part(row: Row[Any]) -> OutputPart:
    attempt = None if row.attempt is None else AttemptId(row.attempt)
    return OutputPart(number=row.number, attempt=attempt, lines=_unpack(row.content))


def _pack(lines: Sequence[tuple[LogStream, bytes]]) -> bytes:
    # Bytes that are not UTF-8 travel as lone surrogates, which JSON escapes.
    plain = [(stream.value, text.decode(errors="surrogateescape")) for stream, text in lines]
    return zlib.compress(json.dumps(plain).encode())


def _unpack(content: bytes) -> list[tuple[LogStream, bytes]]:
    plain = json.loads(zlib.decompress(content))
    return [(LogStream(stream), text.encode(errors="surrogateescape")) for stream, text in plain]
