"""Looking through results and blobs in SQL."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, or_, select

from wherry.service.adapters.database import Database
from wherry.service.adapters.run_cache_sql import result_from
from wherry.service.adapters.tables import blobs, packed_blobs, packs, result_pins, results, runs
from wherry.service.domain.blob import BlobHash
from wherry.service.domain.task import StrictKey
from wherry.service.ports.result_catalog import BlobUse, CatalogTotals, ListedResult, ResultCatalog
from wherry.service.ports.run_cache import RESULTS_PER_KEY_MAX

# As in the index: older SQLite takes 999 variables.
_IN_MAX = 500

_LISTED = select(results, result_pins.c.key.is_not(None).label("pinned")).join_from(
    results, result_pins, results.c.key == result_pins.c.key, isouter=True
)
_USED_AT = func.coalesce(blobs.c.last_used_at, blobs.c.created_at, type_=blobs.c.created_at.type)
_USES: Select[Any] = select(blobs.c.hash, blobs.c.size_bytes, _USED_AT.label("used_at"))


class SqlResultCatalog(ResultCatalog):
    """Results in `results` and `result_pins`, blobs in `blobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_page(
        self,
        *,
        match: str = "",
        user: str = "",
        pinned_only: bool = False,
        after: tuple[datetime, StrictKey] | None = None,
        limit: int,
    ) -> Sequence[ListedResult]:
        """See the port."""
        query = _LISTED.order_by(results.c.created_at.desc(), results.c.key).limit(limit)
        if match:
            query = query.where(results.c.entry.contains(match, autoescape=True))
        if user:
            query = query.where(results.c.user == user)
        if pinned_only:
            query = query.where(result_pins.c.key.is_not(None))
        if after is not None:
            when, key = after
            query = query.where(
                or_(
                    results.c.created_at < when,
                    and_(results.c.created_at == when, results.c.key > key),
                )
            )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [_listed(row) for row in rows]

    async def find(self, beginning: str, *, limit: int) -> Sequence[ListedResult]:
        """See the port."""
        query = (
            _LISTED.where(results.c.key.startswith(beginning, autoescape=True))
            .order_by(results.c.key, results.c.created_at.desc())
            .limit(limit * RESULTS_PER_KEY_MAX)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        newest: dict[str, Row[Any]] = {}
        for row in rows:
            newest.setdefault(row.key, row)
        return [_listed(row) for row in newest.values()][:limit]

    async def remove(self, keys: Collection[StrictKey]) -> None:
        """See the port."""

        def work(connection: Connection) -> None:
            for part in _cut(sorted(keys)):
                connection.execute(delete(result_pins).where(result_pins.c.key.in_(part)))
                connection.execute(delete(results).where(results.c.key.in_(part)))

        await self._database.run(work)

    async def set_pinned(self, key: StrictKey, *, pinned: bool) -> None:
        """See the port."""
        if pinned:
            insertion = self._database.insert(result_pins).values(key=key)
            await self._database.run(
                lambda connection: connection.execute(
                    insertion.on_conflict_do_nothing(index_elements=["key"])
                )
            )
        else:
            removal = delete(result_pins).where(result_pins.c.key == key)
            await self._database.run(lambda connection: connection.execute(removal))

    async def totals(self, *, since: datetime | None) -> CatalogTotals:
        """See the port."""

        def work(connection: Connection) -> CatalogTotals:
            held = connection.execute(
                select(func.count(), func.coalesce(func.sum(blobs.c.size_bytes), 0)).select_from(blobs)
            ).one()
            packed = connection.execute(
                select(func.count(), func.coalesce(func.sum(packed_blobs.c.size_bytes), 0)).select_from(
                    packed_blobs
                )
            ).one()
            counted = select(
                func.count(),
                func.coalesce(func.sum(runs.c.compute_s), 0.0),
                func.coalesce(func.sum(runs.c.saved_s), 0.0),
            ).select_from(runs)
            if since is not None:
                counted = counted.where(runs.c.created_at >= since)
            run_count, compute_s, saved_s = connection.execute(counted).one()
            return CatalogTotals(
                results=connection.execute(select(func.count()).select_from(results)).scalar_one(),
                pinned=connection.execute(select(func.count()).select_from(result_pins)).scalar_one(),
                blobs=held[0],
                bytes=int(held[1]),
                runs=run_count,
                compute_s=float(compute_s),
                saved_s=float(saved_s),
                packs=connection.execute(select(func.count()).select_from(packs)).scalar_one(),
                packed_blobs=packed[0],
                packed_bytes=int(packed[1]),
            )

        return await self._database.run(work)

    async def uses(self, hashes: Collection[BlobHash]) -> dict[BlobHash, BlobUse]:
        """See the port."""
        parts = list(_cut(sorted(set(hashes))))

        def work(connection: Connection) -> dict[BlobHash, BlobUse]:
            rows = (row for part in parts for row in connection.execute(_USES.where(blobs.c.hash.in_(part))))
            return {use.hash: use for use in map(_use, rows)}

        return await self._database.run(work)

    async def list_uses(self, *, after: BlobHash | None = None, limit: int) -> Sequence[BlobUse]:
        """See the port."""
        query = _USES.where(blobs.c.hash > (after or "")).order_by(blobs.c.hash).limit(limit)
        return await self._database.run(
            lambda connection: [_use(row) for row in connection.execute(query).all()]
        )


def _listed(row: Row[Any]) -> ListedResult:
    return ListedResult(result=result_from(row), pinned=bool(row.pinned))


def _use(row: Row[Any]) -> BlobUse:
    return BlobUse(hash=BlobHash(row.hash), size_bytes=row.size_bytes, used_at=row.used_at)


def _cut(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _IN_MAX] for start in range(0, len(items), _IN_MAX))
