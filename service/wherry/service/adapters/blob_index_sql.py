"""The index of blobs in SQL. It knows nothing of the bucket: who adds a blob has put it there."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from wherry.service.adapters.content_lock import hold_contents
from wherry.service.adapters.database import Database
from wherry.service.adapters.hash_lookup_sql import HashLookup, MissingHashes
from wherry.service.adapters.tables import blobs, packed_blobs
from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import hash_collision
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.clock import Clock

# Values in one IN list. Older SQLite takes 999 variables; beyond a few hundred nothing gets faster.
_IN_MAX = 500

# Hashes looked up or noted in one transaction, 10 to 50 ms of the thread: a large question lets others through between.
_TRANSACTION_MAX = 10_000

_HELD = HashLookup(blobs.c.hash)
_RECORDS = select(blobs.c.hash, blobs.c.size_bytes, blobs.c.sha256).where(
    blobs.c.hash.in_(bindparam("hashes", expanding=True))
)
_PACKED = select(packed_blobs.c.hash, packed_blobs.c.sha256).where(
    packed_blobs.c.hash.in_(bindparam("hashes", expanding=True))
)
_RECORD_CONTENT = (
    update(blobs)
    .where(blobs.c.hash == bindparam("seen"), blobs.c.sha256.is_(None))
    .values(sha256=bindparam("sha256"), size_bytes=bindparam("size_bytes"))
)
# Whoever holds the lock on a row notes the same: nobody waits for it, so nobody waits in a circle.
_NOTE_USE = (
    update(blobs)
    .where(
        blobs.c.hash.in_(
            select(blobs.c.hash)
            .where(
                blobs.c.hash.in_(bindparam("hashes", expanding=True)),
                or_(blobs.c.last_used_at.is_(None), blobs.c.last_used_at < bindparam("noted_before")),
            )
            .with_for_update(skip_locked=True)
        )
    )
    .values(last_used_at=bindparam("now"))
)

# A use that is noted already needs no second note for so long.
_USE_KEPT_TO = timedelta(days=1)

_REMOVAL = delete(blobs).where(blobs.c.hash.in_(bindparam("hashes", expanding=True)))


class SqlBlobIndex(BlobIndex):
    """Blobs in the table `blobs`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._missing = MissingHashes(database, _HELD)

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """See the port."""
        return await self._missing(hashes)

    async def find(self, hashes: Collection[BlobHash]) -> dict[BlobHash, BlobRecord]:
        """See the port."""
        found: dict[BlobHash, BlobRecord] = {}
        for part in _cut(sorted(set(hashes)), _TRANSACTION_MAX):
            found |= await self._database.run(partial(_find, hashes=part))
        return found

    async def add(self, records: Iterable[BlobRecord]) -> None:
        """See the port."""
        # Sorted, so that two processes that add the same blobs lock them in the same order.
        new = sorted(records, key=lambda record: record.hash)
        if new:
            now = self._clock.now()
            await self._database.run(lambda connection: self._add(connection, new, now))

    async def note_use(self, hashes: Collection[BlobHash]) -> None:
        """See the port."""
        now = self._clock.now()
        for part in _cut(sorted(set(hashes)), _TRANSACTION_MAX):
            await self._database.run(partial(_note_use, hashes=part, now=now))

    async def list_hashes(self, *, after: BlobHash | None = None, limit: int) -> list[BlobHash]:
        """See the port."""
        page = select(blobs.c.hash).where(blobs.c.hash > (after or "")).order_by(blobs.c.hash).limit(limit)
        found = await self._database.run(lambda connection: connection.execute(page).scalars().all())
        return [BlobHash(blob) for blob in found]

    async def remove(self, hashes: Collection[BlobHash]) -> None:
        """See the port."""
        for part in _cut(sorted(set(hashes)), _TRANSACTION_MAX):
            await self._database.run(partial(_remove, hashes=part))

    def _add(self, connection: Connection, new: Sequence[BlobRecord], now: datetime) -> None:
        rows = [
            {
                "hash": record.hash,
                "size_bytes": record.size_bytes,
                "sha256": record.sha256,
                "created_at": now,
            }
            for record in new
        ]
        hold_contents(connection, alone=False)
        connection.execute(self._database.insert(blobs).on_conflict_do_nothing(index_elements=["hash"]), rows)
        # Compared after inserting: then a record that another process added in between is seen too.
        held = _find(connection, sorted({record.hash for record in new}))
        first_seen = [record for record in new if record.sha256 and held[record.hash].sha256 is None]
        if first_seen:
            connection.execute(
                _RECORD_CONTENT,
                [
                    {"seen": record.hash, "sha256": record.sha256, "size_bytes": record.size_bytes}
                    for record in first_seen
                ],
            )
            held |= _find(connection, sorted({record.hash for record in first_seen}))
        for record in new:
            if record.sha256 is not None and held[record.hash].sha256 != record.sha256:
                raise hash_collision(record.hash, held[record.hash].sha256, record.sha256)
        _compare_with_packed(connection, new)


def _compare_with_packed(connection: Connection, new: Sequence[BlobRecord]) -> None:
    known = {record.hash: record.sha256 for record in new if record.sha256 is not None}
    for part in _cut(sorted(known), _IN_MAX):
        for row in connection.execute(_PACKED, {"hashes": part}):
            if row.sha256 != known[row.hash]:
                raise hash_collision(row.hash, row.sha256, known[row.hash])


def _find(connection: Connection, hashes: Sequence[BlobHash]) -> dict[BlobHash, BlobRecord]:
    return {
        BlobHash(row.hash): BlobRecord(hash=BlobHash(row.hash), size_bytes=row.size_bytes, sha256=row.sha256)
        for part in _cut(hashes, _IN_MAX)
        for row in connection.execute(_RECORDS, {"hashes": part})
    }


def _note_use(connection: Connection, *, hashes: Sequence[BlobHash], now: datetime) -> None:
    for part in _cut(hashes, _IN_MAX):
        connection.execute(_NOTE_USE, {"hashes": part, "noted_before": now - _USE_KEPT_TO, "now": now})


def _remove(connection: Connection, hashes: Sequence[BlobHash]) -> None:
    for part in _cut(hashes, _IN_MAX):
        connection.execute(_REMOVAL, {"hashes": part})


def _cut(hashes: Sequence[BlobHash], length: int) -> Iterator[Sequence[BlobHash]]:
    return (hashes[start : start + length] for start in range(0, len(hashes), length))
