"""What the bucket holds, answered without asking the bucket."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from wherry.service.domain.blob import BlobHash


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRecord:
    """A blob that is held."""

    hash: BlobHash
    size_bytes: int
    sha256: str | None
    """Second name of the content, hex: a deliberate MD5 collision shows here. None: Wherry has not seen the content,
    somebody else put it into the bucket."""


class BlobIndex(Protocol):
    """Which blobs are held. A tree is recorded only after all its members."""

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """The ones that are not held. Any number of hashes; queries are cut into parts."""
        ...

    async def find(self, hashes: Collection[BlobHash]) -> dict[BlobHash, BlobRecord]:
        """The records of those that are held."""
        ...

    async def add(self, records: Iterable[BlobRecord]) -> None:
        """Record blobs that are in the bucket now. Repeating it is harmless.

        A SHA-256 that was unknown is recorded, with the size beside it; one that is known stays.

        Raises:
            HashCollision: when a hash is known with another SHA-256; then none is recorded.
        """
        ...

    async def note_use(self, hashes: Collection[BlobHash]) -> None:
        """Keep that blobs are of use today; those that are not held are passed over.

        Kept to the day, so that what is used all the time is written once a day. Members of trees are not noted
        with their tree: whoever collects goes through the trees.
        """

    async def list_hashes(self, *, after: BlobHash | None = None, limit: int) -> list[BlobHash]:
        """At most `limit` hashes of blobs that are held, in order, behind `after`."""
        ...

    async def remove(self, hashes: Collection[BlobHash]) -> None:
        """Forget blobs; harmless when they are not known."""
        ...
