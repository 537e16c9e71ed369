"""Put content into the bucket under its MD5, so that the first content of an MD5 stays."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, object_key
from wherry.service.domain.errors import StoreUnavailable
from wherry.service.ports.objects import ObjectStore
from wherry.service.usecases.claim_content import ClaimContent, collision

_READ_BYTES = 1024 * 1024

# How often an object may be there when it is to be written, and gone when it is to be read.
_ATTEMPTS = 5


class _Damaged(Exception):
    """What is in the bucket is not what its name says."""


class StoreContent:
    """Writes what is not there; what is there is read back, and replaced only if it is not what its name says."""

    def __init__(self, *, objects: ObjectStore, spool: Path, first_stays: bool) -> None:
        """Read back into `spool`. `first_stays`: whether the store knows If-None-Match; else the last writer wins."""
        self._objects = objects
        self._spool = spool
        self._first_stays = first_stays
        self._claim = ClaimContent(objects)

    async def __call__(self, blob: BlobHash, content: bytes | Path, sha256: str) -> None:
        """Return when the content, whose SHA-256 is given, is in the bucket.

        Raises:
            HashCollision: if other content of this MD5 is there.
        """
        if not self._first_stays:
            await self._replace(blob, content)
        elif self._comes_in_parts(content):
            async with self._claim(blob, sha256):
                await self._put_or_compare(blob, content, sha256)
        else:
            await self._put_or_compare(blob, content, sha256)

    def _comes_in_parts(self, content: bytes | Path) -> bool:
        return isinstance(content, Path) and content.stat().st_size > self._objects.one_request_bytes_max

    async def _put_or_compare(self, blob: BlobHash, content: bytes | Path, sha256: str) -> None:
        for _ in range(_ATTEMPTS):
            if await self._put_new(blob, content):
                return
            try:
                found = await self._read_back(blob)
            except _Damaged:
                await self._replace(blob, content)
                return
            if found == sha256:
                return
            if found is not None:
                raise collision(blob, found=found, wanted=sha256)
        raise StoreUnavailable(
            f"{blob} is there whenever it is written and gone whenever it is read",
            hint="Somebody else is removing it from the bucket. Try again when that has ended.",
        )

    async def _put_new(self, blob: BlobHash, content: bytes | Path) -> bool:
        key, md5 = object_key(blob), blob.removesuffix(TREE_SUFFIX)
        if isinstance(content, Path):
            return await self._objects.put_file_new(key, content, md5=md5)
        return await self._objects.put_new(key, content, md5=md5)

    async def _replace(self, blob: BlobHash, content: bytes | Path) -> None:
        key, md5 = object_key(blob), blob.removesuffix(TREE_SUFFIX)
        if isinstance(content, Path):
            await self._objects.put_file(key, content, md5=md5)
        else:
            await self._objects.put(key, content, md5=md5)

    async def _read_back(self, blob: BlobHash) -> str | None:
        """SHA-256 of what is there; None when nothing is."""
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="back-") as folder:
            copy = Path(folder) / "content"
            if not await self._objects.get_file(object_key(blob), copy):
                return None
            md5, sha256 = await asyncio.to_thread(_hash, copy)
        if md5 != blob.removesuffix(TREE_SUFFIX):
            raise _Damaged
        return sha256


def _hash(copy: Path) -> tuple[str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with copy.open("rb") as file:
        while data := file.read(_READ_BYTES):
            md5.update(data)
            sha256.update(data)
    return md5.hexdigest(), sha256.hexdigest()
