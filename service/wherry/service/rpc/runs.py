"""RunService, translated to use cases."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence

from wherry.service.domain.errors import InvalidInput, SubmissionGone
from wherry.service.domain.limits import (
    LABELS_MAX,
    PRIORITY_MAX,
    RUNS_PAGE_DEFAULT,
    RUNS_PAGE_MAX,
    TARGETS_MAX,
)
from wherry.service.domain.submission import Needs, RunOptions, Submission
from wherry.service.domain.task import RunId
from wherry.service.ports.runs import RunStore
from wherry.service.ports.submissions import SubmissionStore
from wherry.service.rpc.caller import user_of
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import expect_at_most, name_from, needs_to, note_from, submission_from
from wherry.service.rpc.convert_runs import batches_to, event_to, run_to
from wherry.service.rpc.shared_pages import SharedPages
from wherry.service.usecases.follow_run import FollowRun
from wherry.service.usecases.stop_run import StopRun
from wherry.service.usecases.submit_run import Accepted, SubmitRun
from wherry.v1 import runs_pb2, runs_pb2_grpc

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RunServicer(runs_pb2_grpc.RunServiceServicer):
    """Runs pipelines and tells of them."""

    def __init__(
        self,
        *,
        submit: SubmitRun,
        submissions: SubmissionStore,
        runs: RunStore,
        stop: StopRun,
        follow: FollowRun,
    ) -> None:
        """Answer through these; `submissions` has what came in, for whoever wants it again."""
        self._submissions = submissions
        self._submit = submit
        self._runs = runs
        self._stop = stop
        self._follow = follow
        self._pages = SharedPages()

    async def SubmitRun(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.SubmitRunRequest, context: Context
    ) -> runs_pb2.SubmitRunResponse:
        """Accept a submission."""
        if not _IDEMPOTENCY_KEY.fullmatch(request.idempotency_key):
            raise InvalidInput("idempotency_key must be 8 to 64 characters of [A-Za-z0-9_-]")
        answer = await self._accept(request, user_of(context))
        if isinstance(answer, Needs):
            return runs_pb2.SubmitRunResponse(needs=needs_to(answer))
        return runs_pb2.SubmitRunResponse(run=run_to(answer.run, with_stages=True), warnings=answer.warnings)

    async def RetryRun(  # noqa: N802
        self, request: runs_pb2.RetryRunRequest, context: Context
    ) -> runs_pb2.RetryRunResponse:
        """Submit a run once more."""
        if not _IDEMPOTENCY_KEY.fullmatch(request.idempotency_key):
            raise InvalidInput("idempotency_key must be 8 to 64 characters of [A-Za-z0-9_-]")
        run = await self._runs.get(request.run)
        content = await self._submissions.find(run.id)
        if content is None:
            raise SubmissionGone(
                f"it is not known what run {run.id} was submitted with",
                hint="Submit the project again: wherry repro.",
            )
        again = runs_pb2.SubmitRunRequest.FromString(content)
        again.idempotency_key, again.name = request.idempotency_key, request.name
        # What succeeded then must not run again because everything had to then.
        again.force = again.no_run_cache = False
        del again.from_stages[:]
        again.from_stages.extend(request.from_stages)
        answer = await self._accept(again, user_of(context))
        if isinstance(answer, Needs):
            raise SubmissionGone(
                f"the store does not hold all of run {run.id} any more",
                hint="Submit the project again: wherry repro.",
            )
        return runs_pb2.RetryRunResponse(run=run_to(answer.run, with_stages=True), warnings=answer.warnings)

    async def _accept(self, request: runs_pb2.SubmitRunRequest, user: str) -> Accepted | Needs:
        return await self._submit(
            submission_from(request.submission, user),
            _options_from(request),
            idempotency_key=request.idempotency_key,
            content=request.SerializeToString(),
        )

    async def GetRun(  # noqa: N802
        self, request: runs_pb2.GetRunRequest, context: Context
    ) -> runs_pb2.GetRunResponse:
        """Return one run."""
        return runs_pb2.GetRunResponse(run=run_to(await self._runs.get(request.run), with_stages=True))

    async def ListRuns(  # noqa: N802
        self, request: runs_pb2.ListRunsRequest, context: Context
    ) -> runs_pb2.ListRunsResponse:
        """Return a page of runs."""
        if request.page_token and not request.page_token.isdecimal():
            raise InvalidInput("page_token must come from the response before")
        limit = min(request.page_size or RUNS_PAGE_DEFAULT, RUNS_PAGE_MAX)
        runs = await self._runs.list_page(
            project=request.project or None,
            active_only=request.active_only,
            before=RunId(request.page_token) if request.page_token else None,
            limit=limit,
        )
        return runs_pb2.ListRunsResponse(
            runs=[run_to(run, with_stages=False) for run in runs],
            next_page_token=runs[-1].id if len(runs) == limit else "",
        )

    async def WatchRun(  # noqa: N802
        self, request: runs_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[runs_pb2.WatchRunResponse]:
        """Stream what happens to a run."""
        async for events in self._follow.events(
            request.run, after=request.after_sequence, wait_s=_wait_from(request.wait_s)
        ):
            for message in batches_to(events) if request.in_batches else map(event_to, events):
                yield message

    async def CancelRun(  # noqa: N802
        self, request: runs_pb2.CancelRunRequest, context: Context
    ) -> runs_pb2.CancelRunResponse:
        """Ask a run to stop."""
        run = await self._runs.get(request.run)
        await self._stop(run.id)
        return runs_pb2.CancelRunResponse(run=run_to(run, with_stages=False))

    async def TailLogs(  # noqa: N802
        self, request: runs_pb2.TailLogsRequest, context: Context
    ) -> AsyncIterator[runs_pb2.TailLogsResponse]:
        """Stream output."""
        async for page in self._follow.lines(
            request.run,
            stage=request.stage or None,
            after=request.after_sequence,
            follow=request.follow,
            wait_s=_wait_from(request.wait_s),
        ):
            yield self._pages.message_of(page)


def read_submission(content: bytes, user: str) -> tuple[Submission, RunOptions]:
    """What a run was submitted with, from the bytes that are kept of it."""
    request = runs_pb2.SubmitRunRequest.FromString(content)
    return submission_from(request.submission, user), _options_from(request)


def _wait_from(seconds: float) -> float | None:
    if not 0 <= seconds < float("inf"):
        raise InvalidInput(f"a stream cannot last {seconds} seconds")
    return seconds or None


def _options_from(request: runs_pb2.SubmitRunRequest) -> RunOptions:
    if request.jobs < 0:
        raise InvalidInput(f"jobs cannot be {request.jobs}")
    name = name_from(request.name, "run")
    if name.isdecimal():
        raise InvalidInput(f"a run cannot be named {name!r}: numbers are ids of runs")
    return RunOptions(
        name=name,
        message=note_from(request.message),
        force=request.force,
        no_run_cache=request.no_run_cache,
        keep_going=request.keep_going,
        jobs=request.jobs,
        priority=_priority_from(request.priority),
        labels=_labels_from(request.labels),
        timeout_s=_timeout_from(request.timeout_s),
        from_stages=_stages_from(request.from_stages),
    )


def _stages_from(names: Sequence[str]) -> tuple[str, ...]:
    expect_at_most(len(names), TARGETS_MAX, "stages")
    return tuple(names)


def _priority_from(value: int) -> int:
    if abs(value) > PRIORITY_MAX:
        raise InvalidInput(f"a priority is from -{PRIORITY_MAX} to {PRIORITY_MAX}, not {value}")
    return value


def _labels_from(labels: Mapping[str, str]) -> dict[str, str]:
    expect_at_most(len(labels), LABELS_MAX, "labels")
    return {name_from(key, "label's"): name_from(value, "label's value") for key, value in labels.items()}


def _timeout_from(value: float) -> float | None:
    if not 0 <= value < float("inf"):
        raise InvalidInput(f"a run cannot have a time limit of {value} seconds")
    return value or None
