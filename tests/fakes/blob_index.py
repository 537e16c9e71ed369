"""The index of blobs as a dictionary."""

from collections.abc import Collection, Iterable

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import HashCollision
from wherry.service.ports.blob_index import BlobIndex, BlobRecord


class FakeBlobIndex(BlobIndex):
    """`records` may be looked at and changed by tests."""

    def __init__(self, records: Iterable[BlobRecord] = ()) -> None:
        self.records = {record.hash: record for record in records}
        self.used: set[BlobHash] = set()

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        return set(hashes) - self.records.keys()

    async def find(self, hashes: Collection[BlobHash]) -> dict[BlobHash, BlobRecord]:
        return {one: self.records[one] for one in hashes if one in self.records}

    async def add(self, records: Iterable[BlobRecord]) -> None:
        grown = dict(self.records)
        for record in records:
            known = grown.setdefault(record.hash, record)
            if known.sha256 is None:
                grown[record.hash] = record
            elif record.sha256 not in {None, known.sha256}:
                raise HashCollision(f"{record.hash} is held with another content")
        self.records = grown

    async def note_use(self, hashes: Collection[BlobHash]) -> None:
        self.used |= set(hashes) & self.records.keys()

    async def list_hashes(self, *, after: BlobHash | None = None, limit: int) -> list[BlobHash]:
        return sorted(blob for blob in self.records if blob > (after or ""))[:limit]

    async def remove(self, hashes: Collection[BlobHash]) -> None:
        self.records = {blob: record for blob, record in self.records.items() if blob not in set(hashes)}
