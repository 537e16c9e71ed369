"""The index of packs as dictionaries."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from tests.fakes.blob_index import FakeBlobIndex
from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import HashCollision
from wherry.service.domain.pack import PackMember
from wherry.service.ports.packs import PackedBlob, PackedUse, PackIndex, PackState

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakePackIndex(PackIndex):
    """`places` and `sizes` may be looked at and changed by tests. Nothing in it ever becomes old."""

    def __init__(self, index: FakeBlobIndex | None = None) -> None:
        self.index = index or FakeBlobIndex()
        self.places: dict[BlobHash, PackedBlob] = {}
        self.sizes: dict[str, int] = {}
        self.used: set[BlobHash] = set()

    async def find(self, hashes: Collection[BlobHash]) -> dict[BlobHash, PackedBlob]:
        return {blob: self.places[blob] for blob in hashes if blob in self.places}

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        return set(hashes) - self.places.keys()

    async def add(self, name: str, size_bytes: int, members: Sequence[PackMember]) -> set[BlobHash]:
        new = dict(self.places)
        for member in members:
            known = new.setdefault(member.hash, PackedBlob(member=member, pack=name, pack_bytes=size_bytes))
            loose = self.index.records.get(member.hash)
            seen = {known.member.sha256, loose.sha256 if loose else None} - {None}
            if seen != {member.sha256}:
                raise HashCollision(f"{member.hash} is held with another content")
        taken = {member.hash for member in members if new[member.hash].pack == name}
        self.places = new
        if taken:
            self.sizes[name] = size_bytes
        return taken

    async def move(
        self, name: str, size_bytes: int, members: Sequence[PackMember], *, out_of: set[str]
    ) -> None:
        for member in members:
            if member.hash in self.places and self.places[member.hash].pack in out_of:
                self.places[member.hash] = PackedBlob(member=member, pack=name, pack_bytes=size_bytes)
        self.sizes[name] = size_bytes
        await self.forget(out_of - {name})

    async def note_use(self, hashes: Collection[BlobHash]) -> None:
        self.used |= set(hashes) & self.places.keys()

    async def list_packs(self) -> list[PackState]:
        inside = {name: [p for p in self.places.values() if p.pack == name] for name in sorted(self.sizes)}
        return [
            PackState(
                name=name,
                size_bytes=self.sizes[name],
                members=len(places),
                members_bytes=sum(place.member.size_bytes for place in places),
            )
            for name, places in inside.items()
        ]

    async def members_of(self, name: str) -> list[PackedBlob]:
        inside = [place for place in self.places.values() if place.pack == name]
        return sorted(inside, key=lambda place: (place.member.offset, place.member.hash))

    async def list_unused(self, before: datetime) -> list[PackedUse]:
        return [
            PackedUse(hash=blob, size_bytes=self.places[blob].member.size_bytes, used_at=_NOW)
            for blob in sorted(self.places)
            if before > _NOW
        ]

    async def remove(self, hashes: Collection[BlobHash]) -> None:
        self.places = {blob: place for blob, place in self.places.items() if blob not in set(hashes)}

    async def forget(self, packs: Collection[str]) -> int:
        gone = {blob for blob, place in self.places.items() if place.pack in packs}
        await self.remove(gone)
        self.sizes = {name: size for name, size in self.sizes.items() if name not in packs}
        return len(gone)
