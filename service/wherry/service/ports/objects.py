"""Where objects are kept: the bucket."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """What a listing tells of an object."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPage:
    """A part of a listing."""

    objects: tuple[ListedObject, ...]
    """In the order of their keys."""
    is_last: bool
    """Whether nothing comes after it. If not, it has at least one object."""


class ObjectStore(Protocol):
    """A bucket, keys relative to the store's URL. Every method may raise StoreUnavailable."""

    one_request_bytes_max: int
    """Longer files come in parts: of two that are put at once by `put_file_new` both may then be told True."""

    async def put(self, key: str, data: bytes, *, md5: str | None = None) -> None:
        """Store bytes under a key, replacing what is there.

        With `md5` (hex) the store itself checks the body and refuses another.
        """
        ...

    async def put_file(self, key: str, source: Path, *, md5: str | None = None) -> None:
        """Store a file's content; memory use does not depend on its size."""
        ...

    async def put_new(self, key: str, data: bytes, *, md5: str) -> bool:
        """Store bytes under a key if no object is there; False: one is, and it stays as it was.

        Of two who do it at once one gets True. This takes a store that knows If-None-Match; another replaces.
        """
        ...

    async def put_file_new(self, key: str, source: Path, *, md5: str) -> bool:
        """Store a file's content if no object is there; as `put_new`, up to `one_request_bytes_max`."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the bytes, or None when there is no such object. For small objects."""
        ...

    async def get_range(self, key: str, offset: int, size_bytes: int) -> bytes | None:
        """Return a part of the bytes, at least one, or None when there is no such object; shorter where it ends before."""
        ...

    async def get_file(self, key: str, target: Path) -> bool:
        """Write the object to `target`; False, and no file, when there is no such object."""
        ...

    async def copy(self, source: str, target: str) -> None:
        """Store under `target`, replacing what is there, what is under `source`; no byte passes through here.

        StoreUnavailable also when there is no such object.
        """
        ...

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, sorted."""
        ...

    async def list_page(self, prefix: str, *, after: str = "", limit: int) -> ObjectPage:
        """One request's worth of the objects whose keys begin with `prefix` and are greater than `after`.

        At most `limit` of them, and never more than 1,000.
        """
        ...

    async def list_objects(self, prefix: str) -> list[ListedObject]:
        """All objects whose keys begin with `prefix`, sorted by key."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object; harmless when there is none."""
        ...
