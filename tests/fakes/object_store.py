"""The bucket as a dictionary."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from wherry.service.domain.errors import BlobMismatch, StoreUnavailable
from wherry.service.ports.objects import ListedObject, ObjectPage, ObjectStore


class FakeObjectStore(ObjectStore):
    """`objects` may be looked at and changed by tests; while `is_down` nothing answers. `listings` counts requests."""

    one_request_bytes_max = 1024 * 1024 * 1024

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.is_down = False
        self.listings = 0
        self._modified: dict[str, datetime] = {}
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    async def put(self, key: str, data: bytes, *, md5: str | None = None) -> None:
        self._check_up()
        if md5 is not None and hashlib.md5(data).hexdigest() != md5:
            raise BlobMismatch("the object store refused a body that does not have its announced MD5")
        self.objects[key] = bytes(data)
        self._now += timedelta(seconds=1)
        self._modified[key] = self._now

    async def put_file(self, key: str, source: Path, *, md5: str | None = None) -> None:
        await self.put(key, await asyncio.to_thread(source.read_bytes), md5=md5)

    async def put_new(self, key: str, data: bytes, *, md5: str) -> bool:
        if key in self.objects:
            self._check_up()
            return False
        await self.put(key, data, md5=md5)
        return True

    async def put_file_new(self, key: str, source: Path, *, md5: str) -> bool:
        return await self.put_new(key, await asyncio.to_thread(source.read_bytes), md5=md5)

    async def get(self, key: str) -> bytes | None:
        self._check_up()
        return self.objects.get(key)

    async def get_range(self, key: str, offset: int, size_bytes: int) -> bytes | None:
        data = await self.get(key)
        return None if data is None else data[offset : offset + size_bytes]

    async def get_file(self, key: str, target: Path) -> bool:
        data = await self.get(key)
        if data is None:
            return False
        await asyncio.to_thread(target.write_bytes, data)
        return True

    async def copy(self, source: str, target: str) -> None:
        data = await self.get(source)
        if data is None:
            raise StoreUnavailable(f"there is no object {source}")
        await self.put(target, data)

    async def list_keys(self, prefix: str) -> list[str]:
        self._check_up()
        return sorted(key for key in self.objects if key.startswith(prefix))

    async def list_page(self, prefix: str, *, after: str = "", limit: int) -> ObjectPage:
        self.listings += 1
        keys = [key for key in await self.list_keys(prefix) if key > after]
        listed = tuple(self._listed(key) for key in keys[: min(limit, 1000)])
        return ObjectPage(objects=listed, is_last=len(listed) == len(keys))

    async def list_objects(self, prefix: str) -> list[ListedObject]:
        return [self._listed(key) for key in await self.list_keys(prefix)]

    def _listed(self, key: str) -> ListedObject:
        return ListedObject(
            key=key,
            size_bytes=len(self.objects[key]),
            modified_at=self._modified.get(key, self._now),
        )

    async def delete(self, key: str) -> None:
        self._check_up()
        self.objects.pop(key, None)

    def _check_up(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the object store does not answer", hint="Check that it runs.")
