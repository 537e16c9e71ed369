"""When a request to a store is tried again, and after which wait.

botocore decides about it by the event `needs-retry`: whoever answers first with seconds has the request sent again, its
body rewound. Its own waits add up to a second; a store that is started again takes longer.
"""

import random
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectionError as NotConnected
from botocore.exceptions import HTTPClientError

if TYPE_CHECKING:  # stubs only: there is nothing to import when the service runs
    from mypy_boto3_s3 import S3Client

# The wait after the first attempt, and the longest; each is doubled, and half of it is drawn at random, so that many
# do not come at once.
_WAIT_S = 0.25
_WAIT_MAX_S = 10.0

_BROKEN_FROM = 500
_TRANSIENT_CODES = frozenset({"SlowDown", "RequestTimeout", "Throttling", "429"})
_STAYS = frozenset({501, 507})
"""Not implemented, and no room: that will not change within seconds."""


def wait_before(attempts: int) -> float:
    """Seconds to wait after so many attempts."""
    longest = min(_WAIT_S * 2 ** (attempts - 1), _WAIT_MAX_S)
    return random.uniform(longest / 2, longest)  # noqa: S311 - a wait


def try_again(client: "S3Client", *, attempts: int) -> None:
    """Have a client send a request up to `attempts` times while the store does not answer, or answers that it cannot."""

    def decide(
        *,
        response: Any,
        attempts: int,
        caught_exception: Exception | None,
        limit: int = attempts,
        **_: object,
    ) -> float | None:
        if attempts >= limit or not _is_transient(response, caught_exception):
            return None
        return wait_before(attempts)

    # The stubs believe that no event is answered.
    client.meta.events.register_first("needs-retry.s3", decide)  # type: ignore[arg-type]


def _is_transient(response: Any, caught: Exception | None) -> bool:
    if caught is not None:
        return isinstance(caught, NotConnected | HTTPClientError)
    if response is None:
        return False
    http, parsed = response
    status = int(http.status_code)
    if status >= _BROKEN_FROM:
        return status not in _STAYS
    return parsed.get("Error", {}).get("Code") in _TRANSIENT_CODES
