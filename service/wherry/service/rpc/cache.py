"""CacheService, translated to use cases."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.limits import NAME_CHARACTERS_MAX, RUNS_PAGE_DEFAULT, RUNS_PAGE_MAX
from wherry.service.domain.records import FileEntry
from wherry.service.domain.task import StrictKey
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import expect_at_most
from wherry.service.rpc.convert_explanations import difference_to
from wherry.service.usecases.browse_results import BrowseResults, SeenResult
from wherry.service.usecases.collect_garbage import CollectGarbage
from wherry.v1 import cache_pb2, cache_pb2_grpc, pipelines_pb2

_MATCH_CHARACTERS_MAX = 1_000
_KEYS_MAX = 1_000
_AGE_S_MAX = 100 * 365 * 24 * 3600


class CacheServicer(cache_pb2_grpc.CacheServiceServicer):
    """Looks after the run cache."""

    def __init__(self, *, browse: BrowseResults, collect: CollectGarbage) -> None:
        """Answer through these."""
        self._browse = browse
        self._collect = collect

    async def ListResults(  # noqa: N802 - named by the protocol
        self, request: cache_pb2.ListResultsRequest, context: Context
    ) -> cache_pb2.ListResultsResponse:
        """List results."""
        expect_at_most(len(request.match), _MATCH_CHARACTERS_MAX, "characters to look for")
        expect_at_most(len(request.user), NAME_CHARACTERS_MAX, "characters in a name")
        limit = min(max(0, request.page_size) or RUNS_PAGE_DEFAULT, RUNS_PAGE_MAX)
        page = await self._browse.page(
            match=request.match.replace("\0", ""),
            user=request.user.replace("\0", ""),
            pinned_only=request.pinned_only,
            after=_position_from(request.page_token),
            limit=limit,
        )
        return cache_pb2.ListResultsResponse(
            results=[_result_to(seen) for seen in page],
            next_page_token=_position_to(page[-1]) if len(page) == limit else "",
        )

    async def GetResult(  # noqa: N802
        self, request: cache_pb2.GetResultRequest, context: Context
    ) -> cache_pb2.GetResultResponse:
        """Return one result."""
        seen = await self._browse.get(request.key)
        return cache_pb2.GetResultResponse(result=_result_to(seen, whole=True))

    async def CompareResults(  # noqa: N802
        self, request: cache_pb2.CompareResultsRequest, context: Context
    ) -> cache_pb2.CompareResultsResponse:
        """Say how two results differ."""
        before, after, differences = await self._browse.compare(request.before, request.after)
        return cache_pb2.CompareResultsResponse(
            differences=[difference_to(difference) for difference in differences],
            before=before.listed.result.key,
            after=after.listed.result.key,
        )

    async def GetCacheStats(  # noqa: N802
        self, request: cache_pb2.GetCacheStatsRequest, context: Context
    ) -> cache_pb2.GetCacheStatsResponse:
        """Count."""
        expect_at_most(request.days, _AGE_S_MAX // 86400, "days")
        totals = await self._browse.totals(request.days)
        return cache_pb2.GetCacheStatsResponse(
            results=totals.results,
            pinned=totals.pinned,
            blobs=totals.blobs,
            bytes=totals.bytes,
            runs=totals.runs,
            compute_s=totals.compute_s,
            saved_s=totals.saved_s,
            packs=totals.packs,
            packed_blobs=totals.packed_blobs,
            packed_bytes=totals.packed_bytes,
        )

    async def RemoveResults(  # noqa: N802
        self, request: cache_pb2.RemoveResultsRequest, context: Context
    ) -> cache_pb2.RemoveResultsResponse:
        """Forget results."""
        expect_at_most(len(request.keys), _KEYS_MAX, "keys")
        return cache_pb2.RemoveResultsResponse(keys=await self._browse.remove(request.keys))

    async def PinResult(  # noqa: N802
        self, request: cache_pb2.PinResultRequest, context: Context
    ) -> cache_pb2.PinResultResponse:
        """Keep a result, or do not."""
        seen = await self._browse.pin(request.key, pinned=request.pinned)
        return cache_pb2.PinResultResponse(result=_result_to(seen))

    async def CollectGarbage(  # noqa: N802
        self, request: cache_pb2.CollectGarbageRequest, context: Context
    ) -> AsyncIterator[cache_pb2.CollectGarbageResponse]:
        """Collect what is of no use."""
        expect_at_most(request.unused_s, _AGE_S_MAX, "seconds")
        unused = timedelta(seconds=request.unused_s)
        async for collected in self._collect(unused, inputs=request.inputs, dry=request.dry):
            yield cache_pb2.CollectGarbageResponse(
                results=collected.results,
                blobs=collected.blobs,
                bytes=collected.bytes,
                total_blobs=collected.total_blobs,
            )


def _result_to(seen: SeenResult, *, whole: bool = False) -> cache_pb2.CachedResult:
    result = seen.listed.result
    entry = result.entry
    kinds = {out.path: out for out in result.circumstances.outs} if result.circumstances else {}
    message = cache_pb2.CachedResult(
        key=result.key,
        cmd=[entry.cmd] if isinstance(entry.cmd, str) else entry.cmd,
        cmd_is_list=not isinstance(entry.cmd, str),
        wdir=result.circumstances.wdir if result.circumstances else "",
        outs=[_entry_to(out) for out in entry.outs],
        run=result.run_id,
        user=result.user,
        image=result.image,
        wall_s=result.wall_s,
        created_at=_stamp(result.created_at),
        used_at=_stamp(seen.used_at),
        pinned=seen.listed.pinned,
        held=seen.held,
    )
    for out in message.outs:
        if out.path in kinds:
            out.cache = kinds[out.path].cache
    if whole:
        message.deps.extend(_entry_to(dep) for dep in entry.deps)
        message.params_json = json.dumps(entry.params, default=str)
    return message


def _entry_to(entry: FileEntry) -> pipelines_pb2.FileRecord:
    return pipelines_pb2.FileRecord(
        path=entry.path,
        hash=entry.hash,
        size_bytes=entry.size_bytes,
        nfiles=entry.nfiles,
        executable=entry.executable,
    )


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _position_to(seen: SeenResult) -> str:
    return f"{seen.listed.result.created_at.astimezone(UTC).isoformat()} {seen.listed.result.key}"


def _position_from(token: str) -> tuple[datetime, StrictKey] | None:
    if not token:
        return None
    moment, _, key = token.partition(" ")
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None or not key:
        raise InvalidInput("page_token must come from the response before")
    return when, StrictKey(key)
