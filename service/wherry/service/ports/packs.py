"""Which small files of projects stand in packs, and where in them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.pack import PackMember


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBlob:
    """A blob that stands in a pack."""

    member: PackMember
    pack: str
    pack_bytes: int
    """How long the whole pack is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackState:
    """A pack, and how much of it still counts."""

    name: str
    size_bytes: int
    members: int
    """Blobs that are looked for in it."""
    members_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedUse:
    """A packed blob, and when it was last of use, to the day; before that, when it came."""

    hash: BlobHash
    size_bytes: int
    used_at: datetime


class PackIndex(Protocol):
    """Which packs there are, and which blobs are looked for in which.

    A blob may stand in several packs, and have an object of its own too. It is looked for in one pack. What is here is
    held for those who read a project; for DVC it is not in the store.
    """

    async def find(self, hashes: Collection[BlobHash]) -> dict[BlobHash, PackedBlob]:
        """Where those stand that stand in a pack. Any number; queries are cut into parts."""
        ...

    async def find_missing(self, hashes: Collection[BlobHash]) -> set[BlobHash]:
        """The ones that stand in no pack. Any number, as above, and quicker where it matters not where they stand."""
        ...

    async def add(self, name: str, size_bytes: int, members: Sequence[PackMember]) -> set[BlobHash]:
        """Record a pack that is in the bucket, and return the members that are looked for in it from now on.

        What was known already stays where it was. A pack of which nothing is wanted is not recorded.

        Raises:
            HashCollision: if a member is known with another content, packed or not; then nothing is recorded.
        """
        ...

    async def move(
        self, name: str, size_bytes: int, members: Sequence[PackMember], *, out_of: set[str]
    ) -> None:
        """Record a pack that takes the place of others: members that are looked for in those are looked for in it.

        The others, with all that was not moved, are forgotten.
        """
        ...

    async def note_use(self, hashes: Collection[BlobHash]) -> None:
        """Keep that blobs are of use today, as the index of blobs does."""
        ...

    async def list_packs(self) -> list[PackState]:
        """All packs, in the order of their names."""
        ...

    async def members_of(self, name: str) -> list[PackedBlob]:
        """The blobs that are looked for in a pack, in the order in which they stand there."""
        ...

    async def list_unused(self, before: datetime) -> list[PackedUse]:
        """Blobs that were last of use before then, in the order of their names."""
        ...

    async def remove(self, hashes: Collection[BlobHash]) -> None:
        """Look for blobs in packs no more. Their packs stay recorded, also with nothing in them."""
        ...

    async def forget(self, packs: Collection[str]) -> int:
        """Forget packs with all that was looked for in them, and say how much that was."""
        ...


class PackReader(Protocol):
    """Reads what stands in packs."""

    async def locate(self, blob: BlobHash) -> PackedBlob | None:
        """Where a blob stands; None: in no pack."""
        ...

    async def read(self, place: PackedBlob) -> bytes | None:
        """Its content, unchecked; None when the pack has gone: then what stood in it is looked for there no more."""
        ...

    async def read_whole(self, pack: str) -> bytes | None:
        """A pack's bytes, unchecked; None as above."""
        ...
