"""A long file into the bucket in parts, over S3."""

import hashlib
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from wherry.service.adapters.client_s3 import base64_of
from wherry.service.adapters.only_new_s3 import where_none_is
from wherry.service.adapters.store_errors_s3 import code_of
from wherry.service.domain.errors import BlobMismatch

if TYPE_CHECKING:  # stubs only: there is nothing to import when the service runs
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_MIB = 1024 * 1024
_PART_BYTES = 16 * _MIB

# S3 takes 10,000 parts an object (Amazon S3 User Guide, "multipart upload limits").
_PARTS_MAX = 10_000


class MultipartUpload:
    """The parts of one object, which is there only when all have come."""

    def __init__(self, client: "S3Client", *, bucket: str, key: str) -> None:
        """Send nothing yet; `key` is the object's whole one."""
        self._client = client
        self._bucket = bucket
        self._key = key

    def put(self, file: BinaryIO, *, md5: str | None, only_new: bool = False) -> bool:
        """Send a file; whatever ends this early, no part of it stays.

        False: with `only_new`, because an object is there by now.

        Raises:
            BlobMismatch: if the content does not have this MD5; then nothing is stored.
        """
        upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)["UploadId"]
        try:
            parts = self._send(upload, file, md5)
            is_taken = self._complete(upload, parts, os.fstat(file.fileno()).st_size, only_new=only_new)
        except BaseException:
            # What remains of it costs space until the bucket's own rules remove it; the first error says more.
            self._abort(upload)
            raise
        if not is_taken:
            self._abort(upload)
        return is_taken

    def _send(self, upload: str, file: BinaryIO, md5: str | None) -> "list[CompletedPartTypeDef]":
        whole = hashlib.md5(usedforsecurity=False)
        parts: list[CompletedPartTypeDef] = []
        # 16 MiB in memory at a time; more only above 160 GB, where S3 would run out of part numbers.
        part_bytes = max(_PART_BYTES, os.fstat(file.fileno()).st_size // _PARTS_MAX + 1)
        while part := file.read(part_bytes):
            whole.update(part)
            answer = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=upload,
                PartNumber=len(parts) + 1,
                Body=part,
                ContentMD5=base64_of(hashlib.md5(part, usedforsecurity=False).hexdigest()),
            )
            parts.append({"ETag": answer["ETag"], "PartNumber": len(parts) + 1})
        if md5 is not None and whole.hexdigest() != md5:
            raise BlobMismatch(f"the content has MD5 {whole.hexdigest()}, not {md5} as announced")
        return parts

    def _complete(
        self, upload: str, parts: "list[CompletedPartTypeDef]", size_bytes: int, *, only_new: bool
    ) -> bool:
        complete = partial(
            self._client.complete_multipart_upload,
            Bucket=self._bucket,
            Key=self._key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
        )
        try:
            if only_new:
                return where_none_is(complete)
            complete()
        except ClientError as exc:
            # When the answer to it was lost and it was sent again, the upload is over: it had been done.
            if code_of(exc) != "NoSuchUpload" or self._size_stored() != size_bytes:
                raise
        return True

    def _abort(self, upload: str) -> None:
        with suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=upload)

    def _size_stored(self) -> int | None:
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._key, MaxKeys=1)
        # The shortest key that begins with it comes first: itself, if it is there.
        return next((item["Size"] for item in page.get("Contents", ()) if item["Key"] == self._key), None)
