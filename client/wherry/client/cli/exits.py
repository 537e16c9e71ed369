"""Exit codes and how an error is told: on stderr for people, on stdout too under --json."""

import json
import sys

from wherry.client.errors import (
    BadConfiguration,
    ClientError,
    Invalid,
    NotAllowed,
    NotInProject,
    ProtocolBroken,
    TimeLimitPassed,
    TryLater,
    Unknown,
    Unreachable,
)

SUCCESS = 0
STAGE_FAILED = 1
CANCELLED = 3
TIME_LIMIT = 4
UNKNOWN = 5
INVALID = 6
UNREACHABLE = 69
OUR_BUG = 70
TRY_LATER = 75
NOT_ALLOWED = 77
BROKEN_PIPE = 141
CONFIGURATION = 251
INTERRUPTED = 252
NOT_IN_PROJECT = 253
USAGE = 254
OTHER = 255

_CODES: dict[type[ClientError], int] = {
    BadConfiguration: CONFIGURATION,
    Invalid: INVALID,
    NotAllowed: NOT_ALLOWED,
    NotInProject: NOT_IN_PROJECT,
    ProtocolBroken: OUR_BUG,
    TimeLimitPassed: TIME_LIMIT,
    TryLater: TRY_LATER,
    Unknown: UNKNOWN,
    Unreachable: UNREACHABLE,
}


def exit_code(error: ClientError) -> int:
    """Choose the exit code of an error: that of its family, else 255."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), OTHER)


def tell_error(error: ClientError, *, as_json: bool) -> None:
    """Print an error: what, where, what next; with `as_json` the document on stdout too."""
    print(f"error: {error.message}", file=sys.stderr)
    if error.where:
        print(f"  where: {error.where}", file=sys.stderr)
    if error.hint:
        print(f"  hint: {error.hint}", file=sys.stderr)
    if as_json:
        document = {
            "schema": "wherry.error/1",
            "error": {
                "id": error.reason,
                "message": error.message,
                "hint": error.hint or None,
                "where": error.where or None,
            },
        }
        print(json.dumps(document))
