"""Put content into the bucket under its MD5, so that the first content of an MD5 stays."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash, object_key
from wherry.service.domain.errors import HashCollision
from wherry.service.ports.objects import ObjectStore

_READ_BYTES = 1024 * 1024


class StoreContent:
    """Writes what is not there; what is there is read back, and replaced only if it is not what its name says."""

    def __init__(self, *, objects: ObjectStore, spool: Path, first_stays: bool) -> None:
        """Read back into `spool`. `first_stays`: whether the store knows If-None-Match; else the last writer wins."""
        self._objects = objects
        self._spool = spool
        self._first_stays = first_stays

    async def __call__(self, blob: BlobHash, content: bytes | Path, sha256: str) -> None:
        """Return when the content, whose SHA-256 is given, is in the bucket.

        Raises:
            HashCollision: if other content of this MD5 is there.
        """
        if self._first_stays:
            if await self._put_new(blob, content):
                return
            found = await self._read_back(blob)
            if found == sha256:
                return
            if found is not None:
                raise HashCollision(
                    f"the store has another content under {blob}: SHA-256 {found}, not {sha256}",
                    hint="Two different contents with one MD5 are made on purpose. Change one of the files.",
                )
        key, md5 = object_key(blob), blob.removesuffix(TREE_SUFFIX)
        if isinstance(content, Path):
            await self._objects.put_file(key, content, md5=md5)
        else:
            await self._objects.put(key, content, md5=md5)

    async def _put_new(self, blob: BlobHash, content: bytes | Path) -> bool:
        key, md5 = object_key(blob), blob.removesuffix(TREE_SUFFIX)
        if isinstance(content, Path):
            return await self._objects.put_file_new(key, content, md5=md5)
        return await self._objects.put_new(key, content, md5=md5)

    async def _read_back(self, blob: BlobHash) -> str | None:
        """SHA-256 of what is there; None when it is damaged or has just gone."""
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="back-") as folder:
            copy = Path(folder) / "content"
            if not await self._objects.get_file(object_key(blob), copy):
                return None
            md5, sha256 = await asyncio.to_thread(_hash, copy)
        return sha256 if md5 == blob.removesuffix(TREE_SUFFIX) else None


def _hash(copy: Path) -> tuple[str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with copy.open("rb") as file:
        while data := file.read(_READ_BYTES):
            md5.update(data)
            sha256.update(data)
    return md5.hexdigest(), sha256.hexdigest()
