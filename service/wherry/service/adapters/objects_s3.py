"""The bucket, over S3.

boto3 is synchronous: it runs in a bounded pool of threads. Which objects exist is asked of the blob index, and
what that does not know of listings, so there is no HEAD here but for copies. Presigned URLs are not made here.
"""

import asyncio
import hashlib
import io
import os
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, TypeVar

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from wherry.service.adapters.store_errors_s3 import code_of, errors_translated
from wherry.service.adapters.store_patience_s3 import try_again, wait_before
from wherry.service.domain.errors import BlobMismatch
from wherry.service.ports.objects import ListedObject, ObjectPage, ObjectStore

if TYPE_CHECKING:  # stubs only: there is nothing to import when the service runs
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, GetObjectOutputTypeDef, ObjectTypeDef

T = TypeVar("T")

_MIB = 1024 * 1024
_THREADS = 16
_MULTIPART_ABOVE_BYTES = 64 * _MIB
_PART_BYTES = 16 * _MIB

# S3 takes 10,000 parts an object (Amazon S3 User Guide, "multipart upload limits").
_PARTS_MAX = 10_000

_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
# The second: another request that makes the object is under way.
_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_CHANGED = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the bucket is and how to get in."""

    bucket: str
    prefix: str = ""
    """Path of the DVC remote inside the bucket."""
    region: str = "us-east-1"
    endpoint_url: str | None = None
    """None: Amazon's own."""
    access_key: str | None = None
    """None: as boto3 finds it, such as the role of the machine."""
    secret_key: str | None = field(default=None, repr=False)
    attempts: int = 8
    """How often a request is tried, with the waits of store_patience_s3: about 20 s in all."""
    silence_s: float = 60.0
    """How long an answer may stay away before the call is tried again."""
    path_style: bool = True
    """Whether the bucket is part of the path; else it is part of the host's name."""
    ca_bundle: str | None = None
    """File of certificate authorities for the endpoint; None: those that boto3 brings."""


class _Absent(Exception):
    """There is no such object: what was begun for it is given up."""


class S3ObjectStore(ObjectStore):
    """Objects of one bucket below one prefix."""

    def __init__(self, client: "S3Client", *, bucket: str, prefix: str = "", attempts: int = 8) -> None:
        """Use a client that others may use too; `connect` makes one that fits.

        A download that breaks goes on where it was, `attempts` times in a row without a byte.
        """
        self._client = client
        self._attempts = attempts
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

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
        """See the port. Above 64 MiB, in parts, whether there is an object is asked beforehand."""
        return await self._run(lambda: self._put_file_new(key, source, md5))

    async def get(self, key: str) -> bytes | None:
        """See the port."""
        return await self._run(lambda: self._get(key))

    async def get_range(self, key: str, offset: int, size_bytes: int) -> bytes | None:
        """See the port."""
        return await self._run(lambda: self._get_range(key, offset, size_bytes))

    async def get_file(self, key: str, target: Path) -> bool:
        """See the port. `target` appears, or is replaced, only when it is whole."""
        return await self._run(lambda: self._get_file(key, target))

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
        def translated() -> T:
            with errors_translated():
                return call()

        return await asyncio.get_running_loop().run_in_executor(self._executor, translated)

    def _ensure_bucket(self) -> None:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as exc:
            if code_of(exc) not in _ABSENT | {"NoSuchBucket"}:
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
                self._put_parts(key, file, md5)

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
            if code_of(exc) not in _EXISTS:
                raise
            return False
        return True

    def _put_file_new(self, key: str, source: Path, md5: str) -> bool:
        with source.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= _MULTIPART_ABOVE_BYTES:
                return self._put_new(key, file, md5)
            if any(found.key == key for found in self._list_objects(key)):
                return False
            self._put_parts(key, file, md5)
            return True

    def _put_parts(self, key: str, file: BinaryIO, md5: str | None) -> None:
        full_key = self._prefix + key
        upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=full_key)["UploadId"]
        try:
            parts = self._send_parts(full_key, upload, file, md5)
            self._complete(key, upload, parts, os.fstat(file.fileno()).st_size)
        except BaseException:
            # What remains of it costs space until the bucket's own rules remove it; the first error says more.
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=full_key, UploadId=upload)
            raise

    def _complete(self, key: str, upload: str, parts: "list[CompletedPartTypeDef]", size_bytes: int) -> None:
        try:
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._prefix + key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except ClientError as exc:
            # When the answer to it was lost and it was sent again, the upload is over: it had been done.
            found = self._list_objects(key) if code_of(exc) == "NoSuchUpload" else []
            if not any(item.key == key and item.size_bytes == size_bytes for item in found):
                raise

    def _send_parts(
        self, full_key: str, upload: str, file: BinaryIO, md5: str | None
    ) -> "list[CompletedPartTypeDef]":
        whole = hashlib.md5(usedforsecurity=False)
        parts: list[CompletedPartTypeDef] = []
        # 16 MiB in memory at a time; more only above 160 GB, where S3 would run out of part numbers.
        part_bytes = max(_PART_BYTES, os.fstat(file.fileno()).st_size // _PARTS_MAX + 1)
        while part := file.read(part_bytes):
            whole.update(part)
            answer = self._client.upload_part(
                Bucket=self._bucket,
                Key=full_key,
                UploadId=upload,
                PartNumber=len(parts) + 1,
                Body=part,
                ContentMD5=base64_of(hashlib.md5(part, usedforsecurity=False).hexdigest()),
            )
            parts.append({"ETag": answer["ETag"], "PartNumber": len(parts) + 1})
        if md5 is not None and whole.hexdigest() != md5:
            raise BlobMismatch(f"the content has MD5 {whole.hexdigest()}, not {md5} as announced")
        return parts

    def _get(self, key: str) -> bytes | None:
        target = io.BytesIO()
        try:
            self._download(key, target)
        except _Absent:
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
            if code_of(exc) in _ABSENT:
                return None
            if code_of(exc) == "InvalidRange":
                return b""  # the object ends before
            raise

    def _get_file(self, key: str, target: Path) -> bool:
        try:
            with replacing(target) as file:
                self._download(key, file)
        except _Absent:
            return False
        return True

    def _download(self, key: str, file: BinaryIO) -> None:
        """Write an object, over breaks of the connection."""
        position, version, breaks = 0, None, 0
        while True:
            try:
                answer = self._open(key, position, version)
            except ClientError as exc:
                if code_of(exc) in _ABSENT:
                    raise _Absent from exc
                if code_of(exc) not in _CHANGED or not position:
                    raise
                # It was replaced meanwhile: from the beginning.
                position, version = file.seek(0), None
                file.truncate()
                continue
            version = answer["ETag"]
            try:
                with closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(_MIB):
                        position += file.write(chunk)
                        breaks = 0
            except BotoCoreError:
                # The SDK has tried again until an answer began; it does not when one breaks off.
                breaks += 1
                if breaks >= self._attempts:
                    raise
                time.sleep(wait_before(breaks))
            else:
                return

    def _open(self, key: str, position: int, version: str | None) -> "GetObjectOutputTypeDef":
        if not position or version is None:
            return self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
        return self._client.get_object(
            Bucket=self._bucket, Key=self._prefix + key, Range=f"bytes={position}-", IfMatch=version
        )

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


def make_client(settings: S3Settings) -> "S3Client":
    """Make a client as S3ObjectStore, and presigning, need it."""
    client: S3Client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        verify=settings.ca_bundle,
        config=Config(
            # Otherwise presigned URLs are of version 2 and sign the Content-Type.
            signature_version="s3v4",
            s3={"addressing_style": "path" if settings.path_style else "virtual"},
            # Stores other than Amazon's do not know the checksums that newer SDKs add by default.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Its waits are too short for a store that is being started again: see store_patience_s3.
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=settings.silence_s,
            max_pool_connections=_THREADS,
        ),
    )
    try_again(client, attempts=settings.attempts)
    return client


def base64_of(md5: str) -> str:
    """Write a hex MD5 as the header Content-MD5 has it."""
    return b64encode(bytes.fromhex(md5)).decode()


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Write beside `target`, and put it in place when all has gone well."""
    descriptor, name = tempfile.mkstemp(prefix=".download.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
