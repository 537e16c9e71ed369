"""Single operations on a bucket, to find out what a store can do."""

from collections.abc import Sequence
from typing import Protocol


class StoreProbe(Protocol):
    """A bucket as it answers. Every method may raise StoreUnavailable; keys are relative to the store's URL."""

    async def put(self, key: str, data: bytes, *, md5: str | None = None, only_new: bool = False) -> bool:
        """Store bytes; False if the store refuses them for their MD5, or because the key is taken."""
        ...

    async def copy_new(self, source: str, target: str) -> bool:
        """Copy an object within the bucket; False if the store refuses because the target's key is taken."""
        ...

    async def put_presigned(self, key: str, data: bytes, *, signed_md5: str) -> bool:
        """Store bytes without keys, by an address that was signed for a body with this MD5; False if refused."""
        ...

    async def put_in_parts(self, key: str, parts: Sequence[bytes]) -> None:
        """Store bytes in parts."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None."""
        ...

    async def get_range(self, key: str, first: int, last: int) -> bytes:
        """The bytes from `first` to `last`, both counted from 0 and included."""
        ...

    async def list_sizes(self, prefix: str) -> dict[str, int]:
        """Keys and sizes of what begins with `prefix`."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object."""
        ...
