"""The bucket as a dictionary."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from wherry.service.domain.errors import BlobMismatch, StoreUnavailable
from wherry.service.ports.objects import ObjectStore, StoredObject


class FakeObjectStore(ObjectStore):
    """`objects` may be looked at and changed by tests; while `is_down` nothing answers."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.is_down = False

    async def put(self, key: str, data: bytes, *, md5: str | None = None) -> None:
        self._check_up()
        if md5 is not None and hashlib.md5(data).hexdigest() != md5:
            raise BlobMismatch("the object store refused a body that does not have its announced MD5")
        self.objects[key] = bytes(data)

    async def put_file(self, key: str, source: Path, *, md5: str | None = None) -> None:
        await self.put(key, await asyncio.to_thread(source.read_bytes), md5=md5)

    async def get(self, key: str) -> bytes | None:
        self._check_up()
        return self.objects.get(key)

    async def get_file(self, key: str, target: Path) -> bool:
        data = await self.get(key)
        if data is None:
            return False
        await asyncio.to_thread(target.write_bytes, data)
        return True

    async def list_keys(self, prefix: str) -> list[str]:
        self._check_up()
        return sorted(key for key in self.objects if key.startswith(prefix))

    async def list_objects(self, prefix: str) -> list[StoredObject]:
        self._check_up()
        now = datetime.now(UTC)
        return [
            StoredObject(key=key, size_bytes=len(self.objects[key]), modified_at=now)
            for key in sorted(self.objects)
            if key.startswith(prefix)
        ]

    async def delete(self, key: str) -> None:
        self._check_up()
        self.objects.pop(key, None)

    def _check_up(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the object store does not answer", hint="Check that it runs.")
