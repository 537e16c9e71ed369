"""Single operations on a bucket over S3: the StoreProbe port."""

import asyncio
import http.client
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from wherry.service.adapters.client_s3 import S3Settings, base64_of, make_client
from wherry.service.adapters.only_new_s3 import where_none_is
from wherry.service.adapters.store_errors_s3 import errors_translated
from wherry.service.domain.errors import BlobMismatch, StoreUnavailable
from wherry.service.ports.store_probe import StoreProbe

if TYPE_CHECKING:  # stubs only: there is nothing to import when the service runs
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

_T = TypeVar("_T")

_URL_S = 60
_TIMEOUT_S = 10.0
_CONFLICT, _PRECONDITION_FAILED = 409, 412
_REFUSED_FROM, _BROKEN_FROM = 400, 500


class S3StoreProbe(StoreProbe):
    """One bucket below one prefix."""

    def __init__(self, settings: S3Settings) -> None:
        """Use a client of its own."""
        self._settings = settings
        self._client = make_client(settings)
        self._prefix = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def put(self, key: str, data: bytes, *, md5: str | None = None, only_new: bool = False) -> bool:
        """See the port."""
        request: PutObjectRequestTypeDef = {
            "Bucket": self._settings.bucket,
            "Key": self._prefix + key,
            "Body": data,
        }
        if md5 is not None:
            request["ContentMD5"] = base64_of(md5)
        if only_new:
            request["IfNoneMatch"] = "*"
        return await _in_thread(lambda: self._put(request))

    async def copy_new(self, source: str, target: str) -> bool:
        """See the port."""
        bucket = self._settings.bucket
        copy = partial(
            self._client.copy_object,
            Bucket=bucket,
            Key=self._prefix + target,
            CopySource=f"{bucket}/{self._prefix}{source}",
        )
        return await _in_thread(lambda: where_none_is(copy))

    async def put_presigned(self, key: str, data: bytes, *, signed_md5: str) -> bool:
        """See the port."""
        return await _in_thread(lambda: self._put_presigned(self._prefix + key, data, base64_of(signed_md5)))

    async def put_in_parts(self, key: str, parts: Sequence[bytes]) -> None:
        """See the port."""
        await _in_thread(lambda: self._put_in_parts(self._prefix + key, parts))

    async def get(self, key: str) -> bytes | None:
        """See the port."""
        try:
            return await _in_thread(lambda: self._get(key))
        except StoreUnavailable as exc:
            if isinstance(exc.__cause__, ClientError) and _status(exc.__cause__) == http.client.NOT_FOUND:
                return None
            raise

    async def get_range(self, key: str, first: int, last: int) -> bytes:
        """See the port."""
        return await _in_thread(lambda: self._get(key, Range=f"bytes={first}-{last}"))

    async def list_sizes(self, prefix: str) -> dict[str, int]:
        """See the port."""

        def list_them() -> dict[str, int]:
            answer = self._client.list_objects_v2(Bucket=self._settings.bucket, Prefix=self._prefix + prefix)
            return {
                found["Key"].removeprefix(self._prefix): found["Size"] for found in answer.get("Contents", ())
            }

        return await _in_thread(list_them)

    async def delete(self, key: str) -> None:
        """See the port."""
        bucket = self._settings.bucket
        await _in_thread(lambda: self._client.delete_object(Bucket=bucket, Key=self._prefix + key))

    def _put(self, request: "PutObjectRequestTypeDef") -> bool:
        try:
            self._client.put_object(**request)
        except ClientError as exc:
            if _status(exc) in {_CONFLICT, _PRECONDITION_FAILED}:
                return False
            try:
                with errors_translated():
                    raise
            except BlobMismatch:
                return False
        return True

    def _put_presigned(self, key: str, data: bytes, md5: str) -> bool:
        url = self._client.generate_presigned_url(
            "put_object",
            Params={"Bucket": self._settings.bucket, "Key": key, "ContentMD5": md5},
            ExpiresIn=_URL_S,
        )
        status = _send(url, data, md5, self._settings.ca_bundle)
        if status >= _BROKEN_FROM:
            raise StoreUnavailable(f"the object store answered {status} to a signed address")
        return status < _REFUSED_FROM

    def _put_in_parts(self, key: str, parts: Sequence[bytes]) -> None:
        bucket = self._settings.bucket
        upload = self._client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        answers = [
            self._client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part)
            for number, part in enumerate(parts, start=1)
        ]
        self._client.complete_multipart_upload(
            Bucket=bucket,
            Key=key,
            UploadId=upload,
            MultipartUpload={
                "Parts": [
                    {"ETag": answer["ETag"], "PartNumber": number}
                    for number, answer in enumerate(answers, start=1)
                ]
            },
        )

    def _get(self, key: str, **more: str) -> bytes:
        # The stubs know the names of arguments only when they are written out.
        answer = self._client.get_object(Bucket=self._settings.bucket, Key=self._prefix + key, **more)  # type: ignore[arg-type]
        with closing(answer["Body"]) as body:
            return body.read()


async def _in_thread(call: Callable[[], _T]) -> _T:
    def translated() -> _T:
        with errors_translated():
            return call()

    return await asyncio.to_thread(translated)


def _status(exc: ClientError) -> int:
    return exc.response["ResponseMetadata"]["HTTPStatusCode"]


def _send(url: str, data: bytes, md5: str, ca_bundle: str | None) -> int:
    """As a client of ours would: with nothing but the address."""
    where = urlsplit(url)
    connection: http.client.HTTPConnection
    if where.scheme == "https":
        import ssl  # noqa: PLC0415 - slow to load, and seldom needed here

        context = ssl.create_default_context(cafile=ca_bundle)
        connection = http.client.HTTPSConnection(where.netloc, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(where.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("PUT", f"{where.path}?{where.query}", data, {"Content-MD5": md5})
        return connection.getresponse().status
    except OSError as exc:
        raise StoreUnavailable(f"the object store does not answer at a signed address: {exc}") from exc
    finally:
        connection.close()
