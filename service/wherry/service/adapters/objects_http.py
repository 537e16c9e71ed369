"""The bucket, many small objects at a time: HTTP of our own for those, boto3 for all else.

It needs a tenth of the processor time that boto3 needs for an object, and no thread (docs/decisions/0010). Whatever
is not answered as hoped for is done again by boto3, which knows how to wait, and whose errors say what to do. A body
is signed with its SHA-256, which the bucket checks; its MD5 is checked here.
"""

import asyncio
import hashlib
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.download_s3 import replacing
from wherry.service.adapters.http_connections import Answer, HttpConnections
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.adapters.signature_s3 import RequestSigner
from wherry.service.domain.errors import BlobMismatch

# Held in memory, and written to a file between two turns of the event loop.
_SMALL_BYTES_MAX = 1024 * 1024
# Of answers that say that a body was stored, or why not.
_SAID_BYTES_MAX = 16 * 1024

_EMPTY_SHA256 = hashlib.sha256().hexdigest()
_OK = 200
_NOT_FOUND = 404
_PRECONDITION_FAILED = 412


class HttpObjectStore(S3ObjectStore):
    """Objects of one bucket below one prefix. It belongs to one event loop."""

    _direct: "_Requests | None" = None

    @classmethod
    def connect(cls, settings: S3Settings) -> Self:
        """Prepare for a bucket. Nothing is sent before the first call."""
        store = super().connect(settings)
        # Keys that the machine has come and go: they are for boto3 alone.
        if settings.access_key and settings.secret_key:
            store._direct = _Requests(settings, endpoint=store._client.meta.endpoint_url)  # noqa: SLF001 - of this class
        return store

    async def close(self) -> None:
        """Finish what was begun and close the connections."""
        if self._direct is not None:
            self._direct.close()
        await super().close()

    async def put(self, key: str, data: bytes, *, md5: str | None = None) -> None:
        """See the port."""
        if self._direct is not None and len(data) <= _SMALL_BYTES_MAX:
            _expect_md5(key, data, md5)
            answer = await self._direct.put(self._prefix + key, data, {})
            if answer is not None and answer.status == _OK:
                return
        await super().put(key, data, md5=md5)

    async def put_file(self, key: str, source: Path, *, md5: str | None = None) -> None:
        """See the port."""
        content = await asyncio.to_thread(_read_small, source) if self._direct is not None else None
        if content is None:
            await super().put_file(key, source, md5=md5)
        else:
            await self.put(key, content, md5=md5)

    async def put_new(self, key: str, data: bytes, *, md5: str) -> bool:
        """See the port."""
        if self._direct is not None and len(data) <= _SMALL_BYTES_MAX:
            _expect_md5(key, data, md5)
            answer = await self._direct.put(self._prefix + key, data, {"if-none-match": "*"})
            if answer is not None and answer.status in {_OK, _PRECONDITION_FAILED}:
                return answer.status == _OK
        return await super().put_new(key, data, md5=md5)

    async def put_file_new(self, key: str, source: Path, *, md5: str) -> bool:
        """See the port."""
        content = await asyncio.to_thread(_read_small, source) if self._direct is not None else None
        if content is None:
            return await super().put_file_new(key, source, md5=md5)
        return await self.put_new(key, content, md5=md5)

    async def get(self, key: str) -> bytes | None:
        """See the port."""
        answer = await self._get_small(key)
        if answer is None or (answer.status == _OK and answer.body is None):
            return await super().get(key)
        return answer.body if answer.status == _OK else None

    async def get_file(self, key: str, target: Path) -> bool:
        """See the port."""
        answer = await self._get_small(key)
        if answer is None or (answer.status == _OK and answer.body is None):
            return await super().get_file(key, target)
        if answer.status != _OK or answer.body is None:
            return False
        with replacing(target) as file:
            file.write(answer.body)
        return True

    async def _get_small(self, key: str) -> Answer | None:
        """An answer that says something for certain: what there is, or that there is none."""
        if self._direct is None:
            return None
        answer = await self._direct.get(self._prefix + key)
        # That there is no bucket is another matter, for boto3 to say.
        is_absent = (
            answer is not None and answer.status == _NOT_FOUND and b"NoSuchKey" in (answer.body or b"")
        )
        return answer if answer is not None and (answer.status == _OK or is_absent) else None


class _Requests:
    """Signed requests for the objects of one bucket; None in the place of an answer that did not come."""

    def __init__(self, settings: S3Settings, *, endpoint: str) -> None:
        url = urlsplit(endpoint)
        is_secure = url.scheme == "https"
        host = url.hostname or ""
        if not settings.path_style:
            host = f"{settings.bucket}.{host}"
        self._folder = f"{url.path.rstrip('/')}/{settings.bucket}/" if settings.path_style else "/"
        self._signer = RequestSigner(
            # The port is left out where it is the scheme's own, as boto3 does.
            host=host if url.port is None else f"{host}:{url.port}",
            region=settings.region,
            access_key=settings.access_key or "",
            secret_key=settings.secret_key or "",
        )
        self._connections = HttpConnections(
            host,
            url.port or (443 if is_secure else 80),
            tls=ssl.create_default_context(cafile=settings.ca_bundle) if is_secure else None,
            silence_s=settings.silence_s,
        )

    async def put(self, key: str, data: bytes, headers: dict[str, str]) -> Answer | None:
        sha256 = hashlib.sha256(data).hexdigest()
        sent = {"content-length": str(len(data)), **headers}
        head = self._head("PUT", key, sent, sha256)
        return await self._exchange(head, data, answer_bytes_max=_SAID_BYTES_MAX)

    async def get(self, key: str) -> Answer | None:
        head = self._head("GET", key, {}, _EMPTY_SHA256)
        return await self._exchange(head, b"", answer_bytes_max=_SMALL_BYTES_MAX)

    def close(self) -> None:
        self._connections.close()

    def _head(self, method: str, key: str, headers: dict[str, str], sha256: str) -> bytes:
        return self._signer.head(
            method, self._folder + key, headers, body_sha256=sha256, now=datetime.now(UTC)
        )

    async def _exchange(self, head: bytes, data: bytes, *, answer_bytes_max: int) -> Answer | None:
        try:
            return await self._connections.exchange(head, data, answer_bytes_max=answer_bytes_max)
        except OSError:  # broken, silent, or not HTTP: TimeoutError is one of them
            return None


def _expect_md5(key: str, data: bytes, md5: str | None) -> None:
    if md5 is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        raise BlobMismatch(f"the content of {key} does not have its announced MD5")


def _read_small(source: Path) -> bytes | None:
    return source.read_bytes() if source.stat().st_size <= _SMALL_BYTES_MAX else None
