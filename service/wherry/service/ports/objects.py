"""Where objects are kept: the bucket."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as a listing tells of it."""

    key: str
    size_bytes: int
    modified_at: datetime


class ObjectStore(Protocol):
    """A bucket, keys relative to the store's URL. Every method may raise StoreUnavailable."""

    async def put(self, key: str, data: bytes, *, md5: str | None = None) -> None:
        """Store bytes under a key, replacing what is there.

        With `md5` (hex) the store itself checks the body and refuses another.
        """
        ...

    async def put_file(self, key: str, source: Path, *, md5: str | None = None) -> None:
        """Store a file's content; memory use does not depend on its size."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the bytes, or None when there is no such object. For small objects."""
        ...

    async def get_file(self, key: str, target: Path) -> bool:
        """Write the object to `target`; False, and no file, when there is no such object."""
        ...

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, sorted."""
        ...

    async def list_objects(self, prefix: str) -> list[StoredObject]:
        """All objects whose keys begin with `prefix`, sorted by key."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object; harmless when there is none."""
        ...
