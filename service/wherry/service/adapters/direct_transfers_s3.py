"""Presigned requests, parts and copies within the bucket, over S3.

Signing sends nothing, but takes a millisecond of the processor: it has a thread as the requests have.
"""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Self, TypedDict, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from wherry.service.adapters.client_s3 import S3Settings, make_client
from wherry.service.adapters.only_new_s3 import where_none_is
from wherry.service.adapters.store_errors_s3 import errors_translated
from wherry.service.ports.direct_transfers import DirectTransfers, SignedRequest, StoredSize

if TYPE_CHECKING:  # stubs only: there is nothing to import when the service runs
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

T = TypeVar("T")

_MIB = 1024 * 1024
_THREADS = 4

# A transfer must begin, not end, within this time.
_VALID_S = 3600

# What one CopyObject takes, and the parts that a larger copy is made of (Amazon S3 User Guide, "limits").
_COPY_BYTES_MAX = 5 * 1024 * _MIB
_COPY_PART_BYTES = 512 * _MIB

_MD5 = re.compile(r"[0-9a-f]{32}")


class _Where(TypedDict):
    """The parameters that name an object."""

    Bucket: str
    Key: str


class S3DirectTransfers(DirectTransfers):
    """Requests for objects of one bucket below one prefix."""

    def __init__(
        self,
        client: "S3Client",
        signer: "S3Client",
        *,
        bucket: str,
        prefix: str = "",
        copy_bytes_max: int = _COPY_BYTES_MAX,
    ) -> None:
        """Use `client` for requests, `signer` for URLs: clients may know the bucket by another address.

        Longer objects than `copy_bytes_max` are copied in parts.
        """
        self._copy_bytes_max = copy_bytes_max
        self._client = client
        self._signer = signer
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3-direct")

    @classmethod
    def connect(cls, settings: S3Settings, *, public: S3Settings) -> Self:
        """Prepare for a bucket that clients reach as `public` says. Nothing is sent before the first call."""
        return cls(make_client(settings), make_client(public), bucket=settings.bucket, prefix=settings.prefix)

    async def close(self) -> None:
        """Finish what was begun and close the connections."""
        await asyncio.to_thread(self._executor.shutdown)
        self._client.close()
        self._signer.close()

    async def sign_get(self, key: str) -> SignedRequest:
        """See the port."""
        return await self._run(
            lambda: SignedRequest(
                url=self._signer.generate_presigned_url(
                    "get_object", Params=self._object(key), ExpiresIn=_VALID_S
                )
            )
        )

    async def sign_put(self, key: str, *, md5: str) -> SignedRequest:
        """See the port."""
        content_md5 = b64encode(bytes.fromhex(md5)).decode()

        def sign() -> SignedRequest:
            url = self._signer.generate_presigned_url(
                "put_object",
                Params={**self._object(key), "ContentMD5": content_md5, "IfNoneMatch": "*"},
                ExpiresIn=_VALID_S,
            )
            return SignedRequest(url=url, headers=(("Content-MD5", content_md5), ("If-None-Match", "*")))

        return await self._run(sign)

    async def look(self, key: str) -> StoredSize | None:
        """See the port."""
        return await self._run(lambda: self._look(key))

    async def open_parts(self, key: str) -> str:
        """See the port."""
        return await self._run(lambda: self._open_parts(key))

    async def list_parts(self, key: str, upload: str) -> dict[int, int]:
        """See the port."""
        parts = await self._run(lambda: self._parts(key, upload))
        return {number: size for number, (size, _) in parts.items()}

    async def sign_parts(self, key: str, upload: str, numbers: Collection[int]) -> dict[int, SignedRequest]:
        """See the port."""

        def sign(number: int) -> SignedRequest:
            params = {**self._object(key), "UploadId": upload, "PartNumber": number}
            return SignedRequest(
                url=self._signer.generate_presigned_url("upload_part", Params=params, ExpiresIn=_VALID_S)
            )

        return await self._run(lambda: {number: sign(number) for number in numbers})

    async def join_parts(self, key: str, upload: str) -> None:
        """See the port."""
        await self._run(lambda: self._join_parts(key, upload))

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """See the port."""
        answer = await self._run(lambda: self._client.get_object(**self._object(key)))
        with closing(answer["Body"]) as body:
            while data := await self._run(lambda: body.read(_MIB)):
                yield data

    async def copy_new(self, source: str, target: str, *, size_bytes: int) -> bool:
        """See the port."""
        return await self._run(lambda: self._copy_new(source, target, size_bytes))

    async def drop(self, prefix: str, *, older_than: timedelta) -> int:
        """See the port."""
        return await self._run(lambda: self._drop(prefix, datetime.now(UTC) - older_than))

    async def _run(self, call: Callable[[], T]) -> T:
        def translated() -> T:
            with errors_translated():
                return call()

        return await asyncio.get_running_loop().run_in_executor(self._executor, translated)

    def _object(self, key: str) -> "_Where":
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _look(self, key: str) -> StoredSize | None:
        try:
            answer = self._client.head_object(**self._object(key))
        except self._client.exceptions.ClientError as exc:
            if exc.response.get("Error", {}).get("Code", "") in {"404", "NoSuchKey", "NotFound"}:
                return None
            raise
        etag = answer["ETag"].strip('"')
        # Of an object that came in parts, or that the store encrypts, the ETag is something else.
        return StoredSize(size_bytes=answer["ContentLength"], md5=etag if _MD5.fullmatch(etag) else None)

    def _open_parts(self, key: str) -> str:
        full_key = self._prefix + key
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=full_key
        )
        begun = [item for page in pages for item in page.get("Uploads", ()) if item["Key"] == full_key]
        if begun:
            return min(begun, key=lambda item: item["Initiated"])["UploadId"]
        return self._client.create_multipart_upload(**self._object(key))["UploadId"]

    def _parts(self, key: str, upload: str) -> dict[int, tuple[int, str]]:
        pages = self._client.get_paginator("list_parts").paginate(**self._object(key), UploadId=upload)
        return {
            part["PartNumber"]: (part["Size"], part["ETag"])
            for page in pages
            for part in page.get("Parts", ())
        }

    def _join_parts(self, key: str, upload: str) -> None:
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": etag}
            for number, (_, etag) in sorted(self._parts(key, upload).items())
        ]
        where_none_is(
            partial(
                self._client.complete_multipart_upload,
                **self._object(key),
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        )

    def _copy_new(self, source: str, target: str, size_bytes: int) -> bool:
        if self._look(target) is not None:  # not every store knows the condition where it copies
            return False
        origin = f"{self._bucket}/{self._prefix}{source}"
        if size_bytes <= self._copy_bytes_max:
            return where_none_is(partial(self._client.copy_object, **self._object(target), CopySource=origin))
        upload = self._client.create_multipart_upload(**self._object(target))["UploadId"]
        try:
            parts: list[CompletedPartTypeDef] = []
            for begin in range(0, size_bytes, _COPY_PART_BYTES):
                end = min(begin + _COPY_PART_BYTES, size_bytes)
                answer = self._client.upload_part_copy(
                    **self._object(target),
                    UploadId=upload,
                    PartNumber=len(parts) + 1,
                    CopySource=origin,
                    CopySourceRange=f"bytes={begin}-{end - 1}",
                )
                parts.append({"ETag": answer["CopyPartResult"]["ETag"], "PartNumber": len(parts) + 1})
            is_taken = where_none_is(
                partial(
                    self._client.complete_multipart_upload,
                    **self._object(target),
                    UploadId=upload,
                    MultipartUpload={"Parts": parts},
                )
            )
        except BaseException:
            self._abort(target, upload)
            raise
        if not is_taken:
            self._abort(target, upload)
        return is_taken

    def _abort(self, key: str, upload: str) -> None:
        # What remains costs space until the bucket's own rules remove it; whatever led here says more.
        with suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**self._object(key), UploadId=upload)

    def _drop(self, prefix: str, oldest: datetime) -> int:
        below = self._prefix + prefix
        uploads = [
            item
            for page in self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=below
            )
            for item in page.get("Uploads", ())
            if item["Initiated"] <= oldest
        ]
        for item in uploads:
            self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=item["Key"], UploadId=item["UploadId"]
            )
        objects = [
            item["Key"]
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=below
            )
            for item in page.get("Contents", ())
            if item["LastModified"] <= oldest
        ]
        for key in objects:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        return len(uploads) + len(objects)
