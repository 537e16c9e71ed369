"""Who compares the contents of packs and of single objects: they stand in two tables, which no constraint spans."""

from sqlalchemy import Connection, text

# Any number, as long as it is always this one, and not that of another lock.
_CONTENTS = 0x77_68_65_72_72_79_02
_SHARED = text("SELECT pg_advisory_xact_lock_shared(:key)")
_ALONE = text("SELECT pg_advisory_xact_lock(:key)")


def hold_contents(connection: Connection, *, alone: bool) -> None:
    """Hold the lock to the end of the transaction, before its first look: who adds a pack alone, others together.

    What was added before is then seen, and of two contents of one MD5 that come in the same instant the second is
    refused. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_ALONE if alone else _SHARED, {"key": _CONTENTS})
