"""The run cache in SQL. Whether the blobs of a result are still held is for the caller to check."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from wherry.service.adapters.database import Database
from wherry.service.adapters.decoded_results import DecodedResults
from wherry.service.adapters.gathered_reads import GatheredReads
from wherry.service.adapters.records_json import (
    dump_circumstances,
    dump_entry,
    load_circumstances,
    load_entry,
)
from wherry.service.adapters.records_reads import dump_reads, load_reads
from wherry.service.adapters.records_usage import dump_usage, load_usage
from wherry.service.adapters.tables import leases, results
from wherry.service.domain.errors import LeaseLost
from wherry.service.domain.explanation import Family
from wherry.service.domain.task import LeaseToken, LogName, RunId, StrictKey
from wherry.service.ports.run_cache import RESULTS_PER_KEY_MAX, Result, RunCache

# The fingerprint of what nobody looked at.
_UNSEEN = "-"

# Of moments that are the same, any order, but always one.
_RESULTS = (
    select(results)
    .where(results.c.key.in_(bindparam("wanted", expanding=True)))
    .order_by(results.c.created_at.desc(), results.c.reads)
)
_KEPT = results.alias("kept")
_PRUNE = (
    delete(results)
    .where(results.c.key == bindparam("wanted"))
    .where(
        results.c.reads.not_in(
            select(_KEPT.c.reads)
            .where(_KEPT.c.key == bindparam("wanted"))
            .order_by(_KEPT.c.created_at.desc(), _KEPT.c.reads)
            .limit(RESULTS_PER_KEY_MAX)
        )
    )
)
_FAMILY = (
    select(results)
    .where(results.c.family == bindparam("wanted"))
    .order_by(results.c.created_at.desc())
    .limit(bindparam("at_most"))
)
_DURATIONS = (
    select(results.c.family, func.avg(results.c.wall_s).label("mean_s"))
    .where(results.c.family.in_(bindparam("wanted", expanding=True)))
    .group_by(results.c.family)
)
_FENCE = (
    update(leases)
    .where(
        leases.c.key == bindparam("wanted"),
        leases.c.token == bindparam("fence"),
        leases.c.failure.is_(None),
    )
    .values(token=bindparam("same"))
)

# Below what either database takes in one statement.
_AT_ONCE = 500


class SqlRunCache(RunCache):
    """Results in the table `results`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._find = GatheredReads(self.find_all)
        self._decoded = DecodedResults(result_from)

    async def find(self, key: StrictKey) -> Sequence[Result]:
        """See the port."""
        return (await self._find({key})).get(key, ())

    async def find_all(self, keys: Collection[StrictKey]) -> Mapping[StrictKey, Sequence[Result]]:
        """See the port."""
        wanted = sorted(keys)
        parts = [wanted[at : at + _AT_ONCE] for at in range(0, len(wanted), _AT_ONCE)]
        if not wanted:
            return {}
        rows = await self._database.run(
            lambda connection: [
                row for part in parts for row in connection.execute(_RESULTS, {"wanted": part})
            ]
        )
        found: dict[StrictKey, list[Result]] = {}
        for row in rows:
            found.setdefault(StrictKey(row.key), []).append(self._decoded(row))
        return found

    async def list_family(self, family: Family, *, limit: int) -> Sequence[Result]:
        """See the port."""
        values = {"wanted": family, "at_most": limit}
        rows = await self._database.run(lambda connection: connection.execute(_FAMILY, values).all())
        return [result_from(row) for row in rows]

    async def mean_durations(self, families: Collection[Family]) -> Mapping[Family, float]:
        """See the port."""
        wanted = sorted(families)
        parts = [wanted[at : at + _AT_ONCE] for at in range(0, len(wanted), _AT_ONCE)]

        def read(connection: Connection) -> dict[Family, float]:
            rows = (row for part in parts for row in connection.execute(_DURATIONS, {"wanted": part}))
            return {Family(row.family): float(row.mean_s) for row in rows}

        return await self._database.run(read)

    async def publish(self, result: Result, *, fence: LeaseToken | None = None) -> None:
        """See the port."""
        columns = {
            "entry": dump_entry(result.entry),
            "run_id": result.run_id,
            "user": result.user,
            "image": result.image,
            "wall_s": result.wall_s,
            "created_at": result.created_at,
            "family": result.family,
            "log": result.log,
            "usage": dump_usage(result.usage),
            "circumstances": result.circumstances and dump_circumstances(result.circumstances),
            "undeclared": None if result.undeclared is None else dump_reads(result.undeclared),
        }
        reads = _UNSEEN if result.undeclared is None else result.undeclared.fingerprint
        upsert = (
            self._database.insert(results)
            .values(key=result.key, reads=reads, **columns)
            .on_conflict_do_update(index_elements=["key", "reads"], set_=columns)
        )

        def keep(connection: Connection) -> None:
            if fence is not None:
                _check_fence(connection, result.key, fence)
            connection.execute(upsert)
            connection.execute(_PRUNE, {"wanted": result.key})

        await self._database.run(keep)


def _check_fence(connection: Connection, key: StrictKey, fence: LeaseToken) -> None:
    """An update that changes nothing: it keeps others from taking the lease until the transaction ends."""
    if not connection.execute(_FENCE, {"wanted": key, "fence": fence, "same": fence}).rowcount:
        raise LeaseLost("another service has taken the stage over")


def result_from(row: Row[Any]) -> Result:
    """Read a row of the table `results`."""
    return Result(
        key=StrictKey(row.key),
        entry=load_entry(row.entry),
        run_id=RunId(row.run_id),
        user=row.user,
        image=row.image,
        wall_s=row.wall_s,
        created_at=row.created_at,
        family=None if row.family is None else Family(row.family),
        circumstances=None if row.circumstances is None else load_circumstances(row.circumstances),
        undeclared=None if row.undeclared is None else load_reads(row.undeclared),
        log=None if row.log is None else LogName(row.log),
        usage=load_usage(row.usage),
    )
