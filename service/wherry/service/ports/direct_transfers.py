"""Moving content between a client and the bucket without the service in between."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request that whoever has it may send to the bucket, once or often, for a while."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    """What must be sent with it, exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSize:
    """What the bucket tells of an object."""

    size_bytes: int
    md5: str | None
    """Hex, when the bucket says it."""


class DirectTransfers(Protocol):
    """Signs requests, and puts parts together. Every method may raise StoreUnavailable."""

    async def sign_get(self, key: str) -> SignedRequest:
        """Let somebody read an object, as a whole or a range."""
        ...

    async def sign_put(self, key: str, *, md5: str) -> SignedRequest:
        """Let somebody write content with this MD5 (hex), which the bucket checks, where no object is yet."""
        ...

    async def look(self, key: str) -> StoredSize | None:
        """Size and MD5 of an object; None when there is none."""
        ...

    async def open_parts(self, key: str) -> str:
        """Begin, or find the one that was begun, an object that comes in parts; returns its id."""
        ...

    async def list_parts(self, key: str, upload: str) -> dict[int, int]:
        """Size of each part that has come, by number."""
        ...

    async def sign_parts(self, key: str, upload: str, numbers: Collection[int]) -> dict[int, SignedRequest]:
        """Let somebody write these parts."""
        ...

    async def join_parts(self, key: str, upload: str) -> None:
        """Make the parts that have come an object, unless there is one."""
        ...

    def read(self, key: str) -> AsyncIterator[bytes]:
        """Yield an object's content."""
        ...

    async def copy_new(self, source: str, target: str, *, size_bytes: int) -> bool:
        """Copy an object within the bucket, without its bytes coming here; False: one is there, and stays.

        Whether that holds of two that are made at once depends on the store.
        """
        ...

    async def drop(self, prefix: str, *, older_than: timedelta) -> int:
        """Remove objects, and parts of objects, below a prefix that are so old; says how many."""
        ...
