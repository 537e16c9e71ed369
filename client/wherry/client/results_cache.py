"""The run cache as a part of the SDK: what is known, why two results differ, what may go."""

from collections.abc import Iterator, Sequence

from wherry.client.connection import LONG_S, Connection
from wherry.v1.cache_pb2 import (
    CachedResult,
    CollectGarbageRequest,
    CollectGarbageResponse,
    CompareResultsRequest,
    CompareResultsResponse,
    GetCacheStatsRequest,
    GetCacheStatsResponse,
    GetResultRequest,
    ListResultsRequest,
    PinResultRequest,
    RemoveResultsRequest,
)

_PAGE_MAX = 500


class RunCache:
    """Results of stages, by their keys; the beginning of a key is enough where only one begins so."""

    def __init__(self, connection: Connection) -> None:
        """Take the service."""
        self._connection = connection

    def results(
        self, *, match: str = "", user: str = "", pinned_only: bool = False, limit: int = 50
    ) -> list[CachedResult]:
        """List results, newest first; `match` is looked for in commands and paths."""
        found: list[CachedResult] = []
        token = ""
        while len(found) < limit:
            request = ListResultsRequest(
                match=match,
                user=user,
                pinned_only=pinned_only,
                page_size=min(_PAGE_MAX, limit - len(found)),
                page_token=token,
            )
            page = self._connection.unary(self._connection.cache.ListResults, request)
            found.extend(page.results)
            token = page.next_page_token
            if not token:
                break
        return found[:limit]

    def result(self, key: str) -> CachedResult:
        """Return one result, whole."""
        return self._connection.unary(self._connection.cache.GetResult, GetResultRequest(key=key)).result

    def compare(self, before: str, after: str) -> CompareResultsResponse:
        """Say how two results differ."""
        request = CompareResultsRequest(before=before, after=after)
        return self._connection.unary(self._connection.cache.CompareResults, request)

    def stats(self, days: int = 0) -> GetCacheStatsResponse:
        """Count what there is; runs of so many days, or all when 0."""
        return self._connection.unary(self._connection.cache.GetCacheStats, GetCacheStatsRequest(days=days))

    def remove(self, keys: Sequence[str]) -> list[str]:
        """Forget results; returns their keys, whole."""
        request = RemoveResultsRequest(keys=keys)
        return list(self._connection.unary(self._connection.cache.RemoveResults, request).keys)

    def pin(self, key: str, *, pinned: bool = True) -> CachedResult:
        """Keep a result from being collected, or do not any more."""
        request = PinResultRequest(key=key, pinned=pinned)
        return self._connection.unary(self._connection.cache.PinResult, request).result

    def collect(
        self, unused_s: int, *, inputs: bool = False, dry: bool = False
    ) -> Iterator[CollectGarbageResponse]:
        """Collect what was of no use for so many seconds; tells how it goes, at least once.

        `inputs`: also what no stage computed; `dry`: nothing is changed.
        """
        request = CollectGarbageRequest(unused_s=unused_s, inputs=inputs, dry=dry)
        # What there is has to be gone through before the first answer.
        return self._connection.stream(self._connection.cache.CollectGarbage, request, LONG_S * 12)
