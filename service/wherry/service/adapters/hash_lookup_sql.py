"""Which of many hashes a table has, asked in one statement with one value."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, bindparam, exists, func, select

from wherry.service.domain.blob import BlobHash


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


def _those_in(column: Column[Any], wanted: ColumnElement[Any]) -> Select[Any]:
    """Each is looked up by itself. Of a join SQLite might begin with the table, and then read all of it."""
    return select(wanted).where(exists().where(column == wanted))
