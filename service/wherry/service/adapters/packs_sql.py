"""The index of packs in SQL. It knows nothing of the bucket: who adds a pack has put it there."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, bindparam, delete, func, or_, select, update

from wherry.service.adapters.content_lock import hold_contents
from wherry.service.adapters.database import Database
from wherry.service.adapters.gathered_reads import GatheredReads
from wherry.service.adapters.hash_lookup_sql import HashLookup, MissingHashes
from wherry.service.adapters.tables import blobs, packed_blobs, packs
from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import HashCollision, hash_collision
from wherry.service.domain.pack import PackMember
from wherry.service.ports.clock import Clock
from wherry.service.ports.packs import PackedBlob, PackedUse, PackIndex, PackState

_Text = TypeVar("_Text", bound=str)

# As in the index of blobs.
_IN_MAX = 500
_USE_KEPT_TO = timedelta(days=1)

_HELD = HashLookup(packed_blobs.c.hash)
_PLACES = select(packed_blobs, packs.c.size_bytes.label("pack_bytes")).join_from(
    packed_blobs, packs, packed_blobs.c.pack == packs.c.name
)
_FIND = _PLACES.where(packed_blobs.c.hash.in_(bindparam("hashes", expanding=True)))
_USED_AT = func.coalesce(
    packed_blobs.c.last_used_at, packed_blobs.c.created_at, type_=packed_blobs.c.created_at.type
)
_MOVE = (
    update(packed_blobs)
    .where(
        packed_blobs.c.hash == bindparam("moved"),
        packed_blobs.c.pack.in_(bindparam("out_of", expanding=True)),
    )
    .values(pack=bindparam("to"), offset_bytes=bindparam("at"))
)
_NOTE_USE = (
    update(packed_blobs)
    .where(
        packed_blobs.c.hash.in_(
            select(packed_blobs.c.hash)
            .where(
                packed_blobs.c.hash.in_(bindparam("hashes", expanding=True)),
                or_(
                    packed_blobs.c.last_used_at.is_(None),
                    packed_blobs.c.last_used_at < bindparam("noted_before"),
                ),
            )
            .with_for_update(skip_locked=True)
        )
    )
    .values(last_used_at=bindparam("now"))
)


class SqlPackIndex(PackIndex):
    """Packs in the tables `packs` and `packed_blobs`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._gathered = GatheredReads(self._find)
        self._missing = MissingHashes(database, _HELD)

    async def find(self, hashes: Collection[BlobHash]) -> dict[BlobHash, PackedBlob]:
        """See the port."""
        if len(hashes) > _IN_MAX:
            return await self._find(hashes)
        found = await self._gathered(hashes) if hashes else {}
        return {blob: found[blob] for blob in hashes if blob in found}

    async def _find(self, hashes: Collection[BlobHash]) -> dict[BlobHash, PackedBlob]:
        ordered = sorted(set(hashes))

        def work(connection: Connection) -> dict[BlobHash, PackedBlob]:
            # Of many most may be in no pack: first which there are.
            held = ordered if len(ordered) <= _IN_MAX else sorted(_HELD(connection, ordered))
            rows = (row for part in _cut(held) for row in connection.execute(_FIND, {"hashes": part}))
            return {place.member.hash: place for place in map(_place, rows)}

        return await self._database.run(work)

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """See the port."""
        return await self._missing(hashes)

    async def add(self, name: str, size_bytes: int, members: Sequence[PackMember]) -> set[BlobHash]:
        """See the port."""
        return await self._database.run(lambda connection: self._add(connection, name, size_bytes, members))

    async def move(
        self, name: str, size_bytes: int, members: Sequence[PackMember], *, out_of: set[str]
    ) -> None:
        """See the port."""
        now = self._clock.now()
        moves = [{"moved": one.hash, "to": name, "at": one.offset} for one in members]

        def work(connection: Connection) -> None:
            self._insert_pack(connection, name, size_bytes, now)
            for one in moves:
                connection.execute(_MOVE, {**one, "out_of": sorted(out_of)})
            connection.execute(delete(packs).where(packs.c.name.in_(sorted(out_of - {name}))))

        await self._database.run(work)

    async def note_use(self, hashes: Collection[BlobHash]) -> None:
        """See the port."""
        now, parts = self._clock.now(), list(_cut(sorted(set(hashes))))

        def work(connection: Connection) -> None:
            for part in parts:
                connection.execute(
                    _NOTE_USE, {"hashes": part, "noted_before": now - _USE_KEPT_TO, "now": now}
                )

        await self._database.run(work)

    async def list_packs(self) -> list[PackState]:
        """See the port."""
        query = (
            select(
                packs.c.name,
                packs.c.size_bytes,
                func.count(packed_blobs.c.hash),
                func.coalesce(func.sum(packed_blobs.c.size_bytes), 0),
            )
            .join_from(packs, packed_blobs, packed_blobs.c.pack == packs.c.name, isouter=True)
            .group_by(packs.c.name, packs.c.size_bytes)
            .order_by(packs.c.name)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [
            PackState(name=name, size_bytes=size, members=count, members_bytes=int(total))
            for name, size, count, total in rows
        ]

    async def members_of(self, name: str) -> list[PackedBlob]:
        """See the port."""
        query = _PLACES.where(packed_blobs.c.pack == name).order_by(
            packed_blobs.c.offset_bytes, packed_blobs.c.hash
        )
        return await self._database.run(lambda connection: [_place(row) for row in connection.execute(query)])

    async def list_unused(self, before: datetime) -> list[PackedUse]:
        """See the port."""
        query = (
            select(packed_blobs.c.hash, packed_blobs.c.size_bytes, _USED_AT.label("used_at"))
            .where(before > _USED_AT)
            .order_by(packed_blobs.c.hash)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [
            PackedUse(hash=BlobHash(row.hash), size_bytes=row.size_bytes, used_at=row.used_at) for row in rows
        ]

    async def remove(self, hashes: Collection[BlobHash]) -> None:
        """See the port."""
        parts = list(_cut(sorted(set(hashes))))

        def work(connection: Connection) -> None:
            for part in parts:
                connection.execute(delete(packed_blobs).where(packed_blobs.c.hash.in_(part)))

        await self._database.run(work)

    async def forget(self, packs: Collection[str]) -> int:
        """See the port."""
        return await self._database.run(partial(_forget, names=sorted(packs)))

    def _add(
        self, connection: Connection, name: str, size_bytes: int, members: Sequence[PackMember]
    ) -> set[BlobHash]:
        now = self._clock.now()
        hold_contents(connection, alone=True)
        _compare_with_others(connection, members)
        self._insert_pack(connection, name, size_bytes, now)
        rows = [
            {
                "hash": member.hash,
                "pack": name,
                "offset_bytes": member.offset,
                "size_bytes": member.size_bytes,
                "sha256": member.sha256,
                "created_at": now,
            }
            # Sorted, so that two processes that add the same blobs lock them in the same order.
            for member in sorted(members, key=lambda member: member.hash)
        ]
        insertion = self._database.insert(packed_blobs).on_conflict_do_nothing(index_elements=["hash"])
        if rows:
            connection.execute(insertion, rows)
        found: set[BlobHash] = set()
        known = {member.hash: member.sha256 for member in members}
        for part in _cut(sorted(known)):
            for row in connection.execute(_FIND, {"hashes": part}):
                if row.sha256 != known[row.hash]:
                    raise hash_collision(row.hash, row.sha256, known[row.hash])
                if row.pack == name:
                    found.add(BlobHash(row.hash))
        if not found:
            connection.execute(delete(packs).where(packs.c.name == name))
        return found

    def _insert_pack(self, connection: Connection, name: str, size_bytes: int, now: datetime) -> None:
        connection.execute(
            self._database.insert(packs).on_conflict_do_nothing(index_elements=["name"]),
            {"name": name, "size_bytes": size_bytes, "created_at": now},
        )


def _compare_with_others(connection: Connection, members: Sequence[PackMember]) -> None:
    """Compare with the blobs that have objects of their own."""
    known = {member.hash: member.sha256 for member in members}
    if len(known) < len({(member.hash, member.sha256) for member in members}):
        raise HashCollision("two files of one upload have one MD5 and different contents")
    for part in _cut(sorted(known)):
        rows = select(blobs.c.hash, blobs.c.sha256).where(blobs.c.hash.in_(part), blobs.c.sha256.is_not(None))
        for row in connection.execute(rows):
            if row.sha256 != known[row.hash]:
                raise hash_collision(row.hash, row.sha256, known[row.hash])


def _forget(connection: Connection, *, names: Sequence[str]) -> int:
    count = 0
    for part in _cut(names):
        count += connection.execute(delete(packed_blobs).where(packed_blobs.c.pack.in_(part))).rowcount
        connection.execute(delete(packs).where(packs.c.name.in_(part)))
    return count


def _place(row: Row[Any]) -> PackedBlob:
    member = PackMember(BlobHash(row.hash), row.sha256, row.offset_bytes, row.size_bytes)
    return PackedBlob(member=member, pack=row.pack, pack_bytes=row.pack_bytes)


def _cut(items: Sequence[_Text], length: int = _IN_MAX) -> Iterator[Sequence[_Text]]:
    return (items[start : start + length] for start in range(0, len(items), length))
