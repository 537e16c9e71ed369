"""Leases in SQL. Taking one is a single conditional statement: of two that want it, one gets it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Connection, Row, bindparam, delete, false, or_, select, true, update

from wherry.service.adapters.database import Database
from wherry.service.adapters.tables import leases
from wherry.service.domain.lease import Lease
from wherry.service.domain.task import Failed, LeaseToken, RunId, StrictKey
from wherry.service.ports.leases import Leases

_LEASE = select(leases).where(leases.c.key == bindparam("wanted"))
_HELD = (leases.c.key == bindparam("wanted"), leases.c.token == bindparam("held"), leases.c.failure.is_(None))
_RENEW = (
    update(leases)
    .where(
        leases.c.key.in_(bindparam("keys", expanding=True)),
        leases.c.token.in_(bindparam("tokens", expanding=True)),
        leases.c.failure.is_(None),
    )
    .values(expires_at=bindparam("until"))
    .returning(leases)
)
_WATCH = update(leases).where(*_HELD).values(watched=true())
# Of one who begins to watch and one who gives up, the second finds what the first has done.
_AS_KNOWN = or_(leases.c.watched.is_(false()), bindparam("known", type_=Boolean))
_FAIL = update(leases).where(*_HELD, _AS_KNOWN).values(failure=bindparam("reason"), files=bindparam("seen"))
_END = delete(leases).where(*_HELD, _AS_KNOWN)
_SWEPT_AT_ONCE = 1_000
_OLD = leases.alias("old")
_SWEEP = delete(leases).where(
    leases.c.key.in_(
        select(_OLD.c.key)
        .where(_OLD.c.expires_at < bindparam("before"))
        .order_by(_OLD.c.expires_at)
        .limit(_SWEPT_AT_ONCE)
    ),
    # Once more: PostgreSQL asks only this of a row that somebody has taken or renewed meanwhile.
    leases.c.expires_at < bindparam("before"),
)


class SqlLeases(Leases):
    """Leases in the table `leases`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(self, wanted: Lease, *, now: datetime) -> Lease:
        """See the port."""
        columns = {
            "token": wanted.token,
            "owner": wanted.owner,
            "run_id": wanted.run_id,
            "user": wanted.user,
            "stage": wanted.stage,
            "expires_at": wanted.expires_at,
            "failure": None,
            "files": "",
            "watched": False,
        }
        is_free = or_(
            leases.c.failure.is_not(None), leases.c.owner == wanted.owner, leases.c.expires_at <= now
        )
        take = (
            self._database.insert(leases)
            .values(key=wanted.key, **columns)
            .on_conflict_do_update(index_elements=["key"], set_=columns, where=is_free)
            .returning(leases.c.token)
        )

        def acquire(connection: Connection) -> Lease | None:
            if connection.execute(take).one_or_none() is not None:
                return wanted
            row = connection.execute(_LEASE, {"wanted": wanted.key}).one_or_none()
            return None if row is None else _lease(row)

        while True:
            standing = await self._database.run(acquire)
            if standing is not None:
                return standing
            # PostgreSQL: it was given up between the two statements.

    async def find(self, key: StrictKey) -> Lease | None:
        """See the port."""
        values = {"wanted": key}
        row = await self._database.run(lambda connection: connection.execute(_LEASE, values).one_or_none())
        return None if row is None else _lease(row)

    async def renew(self, held: Sequence[Lease], *, expires_at: datetime) -> Mapping[LeaseToken, Lease]:
        """See the port."""
        values = {
            "keys": [lease.key for lease in held],
            "tokens": [lease.token for lease in held],
            "until": expires_at,
        }
        rows = await self._database.run(lambda connection: connection.execute(_RENEW, values).all())
        return {lease.token: lease for lease in map(_lease, rows)}

    async def watch(self, key: StrictKey, token: LeaseToken) -> bool:
        """See the port."""
        values = {"wanted": key, "held": token}
        return bool(await self._database.run(lambda connection: connection.execute(_WATCH, values).rowcount))

    async def end(
        self,
        key: StrictKey,
        token: LeaseToken,
        *,
        failure: Failed | None = None,
        files: str = "",
        watched: bool = True,
    ) -> bool:
        """See the port."""
        values: dict[str, Any] = {"wanted": key, "held": token, "known": watched}
        statement: Any = _END
        if failure is not None:
            statement = _FAIL
            values |= {"reason": _dump_failure(failure), "seen": files}
        return bool(
            await self._database.run(lambda connection: connection.execute(statement, values).rowcount)
        )

    async def sweep(self, *, before: datetime) -> bool:
        """See the port."""
        values = {"before": before}
        swept = await self._database.run(lambda connection: connection.execute(_SWEEP, values).rowcount)
        return swept == _SWEPT_AT_ONCE


def _lease(row: Row[Any]) -> Lease:
    return Lease(
        key=StrictKey(row.key),
        token=LeaseToken(row.token),
        owner=row.owner,
        run_id=RunId(row.run_id),
        user=row.user,
        stage=row.stage,
        expires_at=row.expires_at,
        failure=None if row.failure is None else Failed(**json.loads(row.failure)),
        files=row.files,
        watched=row.watched,
    )


def _dump_failure(failure: Failed) -> str:
    return json.dumps({"reason": failure.reason, "exit_code": failure.exit_code, "wall_s": failure.wall_s})
