"""The run cache in SQL. Whether the blobs of a result are still held is for the caller to check."""

from sqlalchemy import bindparam, select

from wherry.service.adapters.database import Database
from wherry.service.adapters.records_json import dump_entry, load_entry
from wherry.service.adapters.tables import results
from wherry.service.domain.task import RunId, StrictKey
from wherry.service.ports.run_cache import Result, RunCache

_RESULT = select(results).where(results.c.key == bindparam("wanted"))


class SqlRunCache(RunCache):
    """Results in the table `results`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: StrictKey) -> Result | None:
        """See the port."""
        values = {"wanted": key}
        row = await self._database.run(lambda connection: connection.execute(_RESULT, values).one_or_none())
        if row is None:
            return None
        return Result(
            key=StrictKey(row.key),
            entry=load_entry(row.entry),
            run_id=RunId(row.run_id),
            user=row.user,
            image=row.image,
            wall_s=row.wall_s,
            created_at=row.created_at,
        )

    async def publish(self, result: Result) -> None:
        """See the port."""
        columns = {
            "entry": dump_entry(result.entry),
            "run_id": result.run_id,
            "user": result.user,
            "image": result.image,
            "wall_s": result.wall_s,
            "created_at": result.created_at,
        }
        upsert = (
            self._database.insert(results)
            .values(key=result.key, **columns)
            .on_conflict_do_update(index_elements=["key"], set_=columns)
        )
        await self._database.run(lambda connection: connection.execute(upsert))
