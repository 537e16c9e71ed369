"""The bucket, many small objects at a time: obstore for those, boto3 for all else.

obstore needs a sixth of the processor time that boto3 needs for an object, and no thread (docs/decisions/0010).
Whatever it fails at is done again by boto3, which knows how to wait, and whose errors say what to do. A body is
signed with its SHA-256, which the bucket checks; its MD5 is checked here.
"""

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Self

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.download_s3 import replacing
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.domain.errors import BlobMismatch

_MIB = 1024 * 1024

# Held in memory, and written to a file between two turns of the event loop.
_SMALL_BYTES_MAX = _MIB


class ObstoreObjectStore(S3ObjectStore):
    """Objects of one bucket below one prefix."""

    _small: S3Store | None = None

    @classmethod
    def connect(cls, settings: S3Settings) -> Self:
        """Prepare for a bucket. Nothing is sent before the first call."""
        store = super().connect(settings)
        # Keys that the machine has, and certificates of one's own, are for boto3 alone.
        if settings.access_key and settings.secret_key and settings.ca_bundle is None:
            # It does not start on a machine without certificate authorities, not even for http.
            with contextlib.suppress(BaseError):
                store._small = _open(settings)  # noqa: SLF001 - a store of this very class
        return store

    async def put(self, key: str, data: bytes, *, md5: str | None = None) -> None:
        """See the port."""
        if self._small is None or len(data) > _SMALL_BYTES_MAX:
            await super().put(key, data, md5=md5)
            return
        if md5 is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
            raise BlobMismatch(f"the content of {key} does not have its announced MD5")
        try:
            await self._small.put_async(self._prefix + key, data, use_multipart=False)
        except (BaseError, OSError):
            await super().put(key, data, md5=md5)

    async def put_file(self, key: str, source: Path, *, md5: str | None = None) -> None:
        """See the port."""
        content = await asyncio.to_thread(_read_small, source) if self._small is not None else None
        if content is None:
            await super().put_file(key, source, md5=md5)
        else:
            await self.put(key, content, md5=md5)

    async def put_new(self, key: str, data: bytes, *, md5: str) -> bool:
        """See the port."""
        if self._small is None or len(data) > _SMALL_BYTES_MAX:
            return await super().put_new(key, data, md5=md5)
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
            raise BlobMismatch(f"the content of {key} does not have its announced MD5")
        try:
            await self._small.put_async(self._prefix + key, data, use_multipart=False, mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError):
            return await super().put_new(key, data, md5=md5)
        return True

    async def put_file_new(self, key: str, source: Path, *, md5: str) -> bool:
        """See the port."""
        content = await asyncio.to_thread(_read_small, source) if self._small is not None else None
        if content is None:
            return await super().put_file_new(key, source, md5=md5)
        return await self.put_new(key, content, md5=md5)

    async def get(self, key: str) -> bytes | None:
        """See the port."""
        if self._small is None:
            return await super().get(key)
        try:
            answer = await self._small.get_async(self._prefix + key)
            return bytes(await answer.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError):
            return await super().get(key)

    async def get_range(self, key: str, offset: int, size_bytes: int) -> bytes | None:
        """See the port."""
        if self._small is None or size_bytes > _SMALL_BYTES_MAX:
            return await super().get_range(key, offset, size_bytes)
        try:
            return bytes(
                await self._small.get_range_async(self._prefix + key, start=offset, length=size_bytes)
            )
        except FileNotFoundError:
            return None
        except (BaseError, OSError):
            return await super().get_range(key, offset, size_bytes)

    async def get_file(self, key: str, target: Path) -> bool:
        """See the port."""
        if self._small is None:
            return await super().get_file(key, target)
        try:
            answer = await self._small.get_async(self._prefix + key)
            if answer.meta["size"] > _SMALL_BYTES_MAX:
                return await super().get_file(key, target)
            data = await answer.bytes_async()
        except FileNotFoundError:
            return False
        except (BaseError, OSError):
            return await super().get_file(key, target)
        with replacing(target) as file:
            file.write(data)
        return True


def _read_small(source: Path) -> bytes | None:
    return source.read_bytes() if source.stat().st_size <= _SMALL_BYTES_MAX else None


def _open(settings: S3Settings) -> S3Store:
    return S3Store(
        settings.bucket,
        endpoint=settings.endpoint_url,
        region=settings.region,
        access_key_id=settings.access_key,
        secret_access_key=settings.secret_key,
        virtual_hosted_style_request=not settings.path_style,
        client_options={"allow_http": True, "connect_timeout": "5s", "timeout": "60s"},
        # boto3 tries again, with more patience.
        retry_config={"max_retries": 0},
    )
