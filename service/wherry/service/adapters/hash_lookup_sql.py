"""Which of many hashes a table has, asked in one statement with one value."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, bindparam, exists, func, select

from wherry.service.adapters.database import Database
from wherry.service.adapters.gathered_reads import GatheredReads
from wherry.service.domain.blob import BlobHash

# Others want the database too.
_TRANSACTION_MAX = 10_000
# Whoever asks for more does not wait for others, nor they for him.
_GATHERED_MAX = 100


class HashLookup:
    """Looks for hashes in a column that has an index."""

    def __init__(self, column: Column[Any]) -> None:
        """Prepare the query."""
        in_json = func.json_each(bindparam("hashes")).table_valued("value").c.value
        in_list = func.unnest(func.string_to_array(bindparam("hashes"), ",")).column_valued("wanted")
        self._sqlite = _those_in(column, in_json)
        self._postgresql = _those_in(column, in_list)

    def __call__(self, connection: Connection, hashes: Sequence[BlobHash]) -> set[BlobHash]:
        """Those that are there.

        Give them in order: neighbours in the index are found one after the other, of a large table three times as quick.
        """
        if not hashes:
            return set()
        # As one text: a driver takes longer for each value than the database. A hash has nothing in it to be quoted.
        if connection.dialect.name == "sqlite":
            found = connection.execute(self._sqlite, {"hashes": '["' + '","'.join(hashes) + '"]'})
        else:
            found = connection.execute(self._postgresql, {"hashes": ",".join(hashes)})
        return set(found.scalars())


class MissingHashes:
    """Which hashes a table lacks: few are asked for together with those of others, many in several transactions."""

    def __init__(self, database: Database, held: HashLookup) -> None:
        """Ask with `held`."""
        self._database = database
        self._held = held
        self._gathered = GatheredReads(self._find_all)

    async def __call__(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """Those that are not there."""
        if len(hashes) > _GATHERED_MAX:
            return await self._find_all(hashes)
        return (await self._gathered(hashes)).intersection(hashes) if hashes else set()

    async def _find_all(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        # Not by way of a set: who asks for many asks in order, and then there is nothing to sort.
        ordered = sorted(dict.fromkeys(hashes))
        missing = set(ordered)
        for start in range(0, len(ordered), _TRANSACTION_MAX):
            part = ordered[start : start + _TRANSACTION_MAX]
            missing -= await self._database.run(partial(self._held, hashes=part))
        return missing


def _those_in(column: Column[Any], wanted: ColumnElement[Any]) -> Select[Any]:
    """Each is looked up by itself. Of a join SQLite might begin with the table, and then read all of it."""
    return select(wanted).where(exists().where(column == wanted))
