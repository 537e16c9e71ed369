"""Requests that must not replace an object, over S3."""

from collections.abc import Callable

from botocore.exceptions import ClientError

from wherry.service.adapters.store_errors_s3 import code_of

# The last two: because another request is making the object.
_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})

_CONDITION_UNKNOWN = frozenset({"NotImplemented", "501"})


def is_refused(exc: ClientError) -> bool:
    """Whether a store refused a request because there is an object."""
    return code_of(exc) in _EXISTS


def where_none_is(send: Callable[..., object]) -> bool:
    """Send a request with If-None-Match, and without where the store does not know it for this kind of request.

    False: there is an object, and it stays.
    """
    try:
        send(IfNoneMatch="*")
    except ClientError as exc:
        if is_refused(exc):
            return False
        if code_of(exc) not in _CONDITION_UNKNOWN:
            raise
        send()
    return True
