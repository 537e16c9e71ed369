"""What boto3 raises, in the words of the domain."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from wherry.service.domain.errors import BlobMismatch, StoreUnavailable

ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
"""What S3 says when there is no such object."""

_BODY_REFUSED = frozenset({"BadDigest", "InvalidDigest"})
_KEYS_REFUSED = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"})

_FULL = frozenset(
    {"QuotaExceeded", "ServiceQuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"}
    | {"XMinioAdminBucketQuotaExceeded", "InsufficientCapacity"}
)


def code_of(exc: ClientError) -> str:
    """What S3 calls an error."""
    return exc.response.get("Error", {}).get("Code", "")


@contextmanager
def errors_translated() -> Iterator[None]:
    """Turn what boto3 raises into errors of the domain."""
    try:
        yield
    except ClientError as exc:
        raise _translated(exc) from exc
    except BotoCoreError as exc:
        raise StoreUnavailable(
            f"the object store does not answer: {exc}",
            hint="Check that it runs and that the service's endpoint for it is right.",
        ) from exc


def _translated(exc: ClientError) -> BlobMismatch | StoreUnavailable:
    # Only code and operation: the rest of the answer may repeat the access key or what was signed.
    code = code_of(exc)
    if code in _BODY_REFUSED:
        return BlobMismatch(f"the object store refused a body that does not have its announced MD5 ({code})")
    message = f"the object store refused {exc.operation_name} ({code})"
    if code in _KEYS_REFUSED:
        return StoreUnavailable(message, hint="Check the service's keys for the bucket and what they allow.")
    if code in _FULL:
        return StoreUnavailable(
            message, hint="Make room there or raise its quota; `wherry cache gc` removes what nobody needs."
        )
    if code == "NoSuchBucket":
        return StoreUnavailable(message, hint="Check the name of the bucket, or make it.")
    return StoreUnavailable(message, hint="Try again; if it stays so, see the object store's own log.")
