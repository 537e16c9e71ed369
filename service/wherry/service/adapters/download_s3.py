"""An object out of the bucket, over breaks of the connection, into a file that appears only when it is whole."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from wherry.service.adapters.store_errors_s3 import ABSENT, code_of
from wherry.service.adapters.store_patience_s3 import wait_before

if TYPE_CHECKING:  # stubs only: there is nothing to import when the service runs
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_MIB = 1024 * 1024
_CHANGED = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})


class Absent(Exception):
    """There is no such object: what was begun for it is given up."""


class Stopped(Exception):
    """Nobody wants the object any more."""


class Download:
    """The content of one object."""

    def __init__(self, client: "S3Client", *, bucket: str, key: str, attempts: int) -> None:
        """Send nothing yet; `key` is the object's whole one.

        What breaks goes on where it was, `attempts` times in a row without a byte.
        """
        self._client = client
        self._bucket = bucket
        self._key = key
        self._attempts = attempts

    def write(self, file: BinaryIO, *, stop: threading.Event | None = None) -> None:
        """Write it to a file; once `stop` is set, no more than what has come.

        Raises:
            Absent: if there is no such object.
            Stopped: if it was stopped.
        """
        stop = threading.Event() if stop is None else stop
        position, version, breaks = 0, None, 0
        while True:
            try:
                answer = self._open(position, version)
            except ClientError as exc:
                if code_of(exc) in ABSENT:
                    raise Absent from exc
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
                        if stop.is_set():
                            raise Stopped
                        position += file.write(chunk)
                        breaks = 0
            except BotoCoreError:
                # The SDK has tried again until an answer began; it does not when one breaks off.
                breaks += 1
                if breaks >= self._attempts:
                    raise
                stop.wait(wait_before(breaks))
            else:
                return

    def _open(self, position: int, version: str | None) -> "GetObjectOutputTypeDef":
        if not position or version is None:
            return self._client.get_object(Bucket=self._bucket, Key=self._key)
        return self._client.get_object(
            Bucket=self._bucket, Key=self._key, Range=f"bytes={position}-", IfMatch=version
        )


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
