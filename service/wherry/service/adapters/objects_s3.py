"""The bucket, over S3.

boto3 is synchronous: it runs in a bounded pool of threads. Which objects exist is asked of the blob index, and
what that does not know of listings, so there is no HEAD here but for copies. Presigned URLs are not made here.
"""

import asyncio
import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, TypeVar

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from wherry.service.adapters.client_s3 import THREADS, S3Settings, base64_of, make_client
from wherry.service.adapters.download_s3 import Absent, Download, replacing
from wherry.service.adapters.multipart_s3 import MultipartUpload
from wherry.service.adapters.only_new_s3 import is_refused
from wherry.service.adapters.store_errors_s3 import ABSENT, code_of, errors_translated
from wherry.service.adapters.thread_call import call_in_thread
from wherry.service.ports.objects import ListedObject, ObjectPage, ObjectStore

if TYPE_CHECKING:  # stubs only: there is nothing to import when the service runs
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

T = TypeVar("T")

_MULTIPART_ABOVE_BYTES = 64 * 1024 * 1024

# What must not replace what is there goes in one request, which the store decides about alone. S3 takes 5 GiB in one;
# what broke off is sent again from its beginning, so less is better.
_ONE_REQUEST_BYTES_MAX = 2 * 1024 * 1024 * 1024


class S3ObjectStore(ObjectStore):
    """Objects of one bucket below one prefix."""

    def __init__(
        self,
        client: "S3Client",
        *,
        bucket: str,
        prefix: str = "",
        attempts: int = 8,
        one_request_bytes_max: int = _ONE_REQUEST_BYTES_MAX,
    ) -> None:
        """Use a client that others may use too; `connect` makes one that fits.

        A download that breaks goes on where it was, `attempts` times in a row without a byte.
        """
        self.one_request_bytes_max = one_request_bytes_max
        self._client = client
        self._attempts = attempts
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")

    @classmethod
    def connect(cls, settings: S3Settings) -> Self:
        """Prepare for a bucket. Nothing is sent before the first call."""
        return cls(
            make_client(settings),
            bucket=settings.bucket,
            prefix=settings.prefix,
            attempts=settings.attempts,
        )

    async def ensure_bucket(self) -> None:
        """Make the bucket if there is none.

        Raises:
            StoreUnavailable: if the store does not answer or does not let us.
        """
        await self._run(self._ensure_bucket)

    async def close(self) -> None:
        """Finish what was begun and close the connections."""
        await asyncio.to_thread(self._executor.shutdown)
        self._client.close()

    async def put(self, key: str, data: bytes, *, md5: str | None = None) -> None:
        """See the port.

        Raises:
            BlobMismatch: if the body does not have this MD5; then nothing is stored.
        """
        await self._run(lambda: self._put(key, data, md5))

    async def put_file(self, key: str, source: Path, *, md5: str | None = None) -> None:
        """See the port. Above 64 MiB in parts; the MD5 is then checked here, before the parts become an object.

        Raises:
            BlobMismatch: if the file does not have this MD5; then nothing is stored.
        """
        await self._run(lambda: self._put_file(key, source, md5))

    async def put_new(self, key: str, data: bytes, *, md5: str) -> bool:
        """See the port."""
        return await self._run(lambda: self._put_new(key, data, md5))

    async def put_file_new(self, key: str, source: Path, *, md5: str) -> bool:
        """See the port. In parts, whether there is an object is asked beforehand as well."""
        return await self._run(lambda: self._put_file_new(key, source, md5))

    async def get(self, key: str) -> bytes | None:
        """See the port."""
        return await self._run(lambda: self._get(key))

    async def get_range(self, key: str, offset: int, size_bytes: int) -> bytes | None:
        """See the port."""
        return await self._run(lambda: self._get_range(key, offset, size_bytes))

    async def get_file(self, key: str, target: Path) -> bool:
        """See the port. `target` appears, or is replaced, only when it is whole."""
        stop = threading.Event()
        # When it is cancelled no thread goes on writing.
        download = _translating(lambda: self._get_file(key, target, stop))
        return await call_in_thread(self._executor, download, stop=stop.set)

    async def copy(self, source: str, target: str) -> None:
        """See the port. Above 64 MiB in parts."""
        await self._run(lambda: self._copy(source, target))

    async def list_keys(self, prefix: str) -> list[str]:
        """See the port."""
        return await self._run(lambda: self._list_keys(prefix))

    async def list_page(self, prefix: str, *, after: str = "", limit: int) -> ObjectPage:
        """See the port."""
        return await self._run(lambda: self._list_page(prefix, after, limit))

    async def list_objects(self, prefix: str) -> list[ListedObject]:
        """See the port."""
        return await self._run(lambda: self._list_objects(prefix))

    async def delete(self, key: str) -> None:
        """See the port."""
        await self._run(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key))

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, _translating(call))

    def _ensure_bucket(self) -> None:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as exc:
            if code_of(exc) not in ABSENT | {"NoSuchBucket"}:
                raise
        else:
            return
        try:
            region = self._client.meta.region_name
            if region == "us-east-1":  # the one region that must not be named (S3 API, CreateBucket)
                self._client.create_bucket(Bucket=self._bucket)
            else:
                self._client.create_bucket(
                    Bucket=self._bucket,
                    # The stubs list Amazon's regions; other stores have their own.
                    CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
                )
        except ClientError as exc:
            if code_of(exc) != "BucketAlreadyOwnedByYou":  # another process was quicker
                raise

    def _put(self, key: str, body: bytes | BinaryIO, md5: str | None) -> None:
        if md5 is None:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body)
        else:
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + key, Body=body, ContentMD5=base64_of(md5)
            )

    def _copy(self, source: str, target: str) -> None:
        self._client.copy(
            {"Bucket": self._bucket, "Key": self._prefix + source},
            self._bucket,
            self._prefix + target,
            Config=TransferConfig(
                multipart_threshold=_MULTIPART_ABOVE_BYTES,
                multipart_chunksize=_MULTIPART_ABOVE_BYTES,
                use_threads=False,
            ),
        )

    def _put_file(self, key: str, source: Path, md5: str | None) -> None:
        with source.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= _MULTIPART_ABOVE_BYTES:
                self._put(key, file, md5)
            else:
                self._in_parts(key).put(file, md5=md5)

    def _put_new(self, key: str, body: bytes | BinaryIO, md5: str) -> bool:
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=body,
                ContentMD5=base64_of(md5),
                IfNoneMatch="*",
            )
        except ClientError as exc:
            if not is_refused(exc):
                raise
            return False
        return True

    def _put_file_new(self, key: str, source: Path, md5: str) -> bool:
        with source.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= self.one_request_bytes_max:
                return self._put_new(key, file, md5)
            if any(found.key == key for found in self._list_objects(key)):
                return False
            return self._in_parts(key).put(file, md5=md5, only_new=True)

    def _in_parts(self, key: str) -> MultipartUpload:
        return MultipartUpload(self._client, bucket=self._bucket, key=self._prefix + key)

    def _download(self, key: str) -> Download:
        return Download(self._client, bucket=self._bucket, key=self._prefix + key, attempts=self._attempts)

    def _get(self, key: str) -> bytes | None:
        target = io.BytesIO()
        try:
            self._download(key).write(target)
        except Absent:
            return None
        return target.getvalue()

    def _get_range(self, key: str, offset: int, size_bytes: int) -> bytes | None:
        try:
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Range=f"bytes={offset}-{offset + size_bytes - 1}",
            )
            with closing(answer["Body"]) as body:
                return body.read()
        except ClientError as exc:
            if code_of(exc) in ABSENT:
                return None
            if code_of(exc) == "InvalidRange":
                return b""  # the object ends before
            raise

    def _get_file(self, key: str, target: Path, stop: threading.Event) -> bool:
        try:
            with replacing(target) as file:
                self._download(key).write(file, stop=stop)
        except Absent:
            return False
        return True

    def _list_keys(self, prefix: str) -> list[str]:
        return [found.key for found in self._list_objects(prefix)]

    def _list_objects(self, prefix: str) -> list[ListedObject]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        found = [self._listed(item) for page in pages for item in page.get("Contents", ())]
        return sorted(found, key=lambda item: item.key)

    def _listed(self, item: "ObjectTypeDef") -> ListedObject:
        return ListedObject(
            key=item["Key"].removeprefix(self._prefix),
            size_bytes=item["Size"],
            modified_at=item["LastModified"],
        )

    def _list_page(self, prefix: str, after: str, limit: int) -> ObjectPage:
        page = self._client.list_objects_v2(
            Bucket=self._bucket, Prefix=self._prefix + prefix, StartAfter=self._prefix + after, MaxKeys=limit
        )
        objects = tuple(self._listed(item) for item in page.get("Contents", ()))
        return ObjectPage(objects=objects, is_last=not (page["IsTruncated"] and objects))


def _translating(call: Callable[[], T]) -> Callable[[], T]:
    def translated() -> T:
        with errors_translated():
            return call()

    return translated
