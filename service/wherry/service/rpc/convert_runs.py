"""Runs, events and lines to the wire."""

from collections.abc import Iterable, Iterator

from wherry.service.domain.run import Event, Run, RunError, StageRecord, WriteBack, WriteBackKind
from wherry.service.domain.states import CacheUse, Phase, State
from wherry.service.domain.usage import Usage
from wherry.service.ports.logs import LogLine, LogStream
from wherry.service.rpc.convert import digest_to, moment, write_moment
from wherry.service.rpc.convert_pipelines import file_to, source_to
from wherry.v1 import runs_pb2

# Far below what a message may have: several events stay several messages where they are large.
_BATCH_BYTES_MAX = 1024 * 1024

_STATE_TO = {
    State.QUEUED: runs_pb2.STATE_QUEUED,
    State.PREPARING: runs_pb2.STATE_PREPARING,
    State.RUNNING: runs_pb2.STATE_RUNNING,
    State.SUCCEEDED: runs_pb2.STATE_SUCCEEDED,
    State.FAILED: runs_pb2.STATE_FAILED,
    State.CANCELLED: runs_pb2.STATE_CANCELLED,
    State.SKIPPED: runs_pb2.STATE_SKIPPED,
    State.LOST: runs_pb2.STATE_LOST,
}

_CACHE_TO = {
    CacheUse.HIT: runs_pb2.CACHE_USE_HIT,
    CacheUse.MISS: runs_pb2.CACHE_USE_MISS,
    CacheUse.BYPASS: runs_pb2.CACHE_USE_BYPASS,
    CacheUse.NOT_CACHEABLE: runs_pb2.CACHE_USE_NOT_CACHEABLE,
    CacheUse.MERGED: runs_pb2.CACHE_USE_MERGED,
}

_PHASE_TO = {
    None: runs_pb2.PHASE_UNSPECIFIED,
    Phase.FETCHING: runs_pb2.PHASE_FETCHING,
    Phase.COLLECTING: runs_pb2.PHASE_COLLECTING,
    Phase.PUBLISHING: runs_pb2.PHASE_PUBLISHING,
}

_KIND_TO = {
    WriteBackKind.LOCK: runs_pb2.WRITE_BACK_KIND_LOCK,
    WriteBackKind.PARAMS: runs_pb2.WRITE_BACK_KIND_PARAMS,
    WriteBackKind.OUTPUT: runs_pb2.WRITE_BACK_KIND_OUTPUT,
}

_STREAM_TO = {
    LogStream.STDOUT: runs_pb2.LOG_STREAM_STDOUT,
    LogStream.STDERR: runs_pb2.LOG_STREAM_STDERR,
    LogStream.SYSTEM: runs_pb2.LOG_STREAM_SYSTEM,
}


def run_to(run: Run, *, with_stages: bool) -> runs_pb2.Run:
    """Write a run."""
    return runs_pb2.Run(
        id=run.id,
        name=run.name,
        project=run.project,
        user=run.user,
        rev=run.rev,
        dirty=run.dirty,
        message=run.message,
        labels=run.labels,
        priority=run.priority,
        state=_STATE_TO[run.state],
        created_at=moment(run.created_at),
        started_at=moment(run.started_at),
        finished_at=moment(run.finished_at),
        compute_s=run.compute_s,
        saved_s=run.saved_s,
        stages=[stage_to(stage) for stage in run.stages.values()] if with_stages else (),
        error=_error_to(run.error),
        write_backs=[_write_back_to(item) for item in run.write_backs],
    )


def stage_to(stage: StageRecord) -> runs_pb2.StageRecord:
    """Write a stage of a run."""
    message = runs_pb2.StageRecord()
    _write_stage(message, stage)
    return message


def _write_stage(message: runs_pb2.StageRecord, stage: StageRecord) -> None:
    """Write a stage where it belongs: there may be thousands, and copying one takes longer than writing what it has."""
    message.name, message.state = stage.name, _STATE_TO[stage.state]
    if stage.cache is not None:
        message.cache = _CACHE_TO[stage.cache]
    message.key, message.image, message.params_json = stage.key, stage.image, stage.params_json
    message.from_run, message.from_user = stage.from_run or "", stage.from_user
    message.source, message.phase = source_to(stage.source), _PHASE_TO[stage.phase]
    message.attempt, message.node, message.reason = stage.attempt, stage.node, stage.reason
    if stage.since is not None:
        write_moment(message.since, stage.since)
    if stage.exit_code is not None:
        message.exit_code = stage.exit_code
    if stage.wall_s is not None:
        message.wall_s = stage.wall_s
    if (usage := _usage_to(stage.usage)) is not None:
        message.usage.CopyFrom(usage)
    message.deps.extend(map(file_to, stage.deps))
    message.outs.extend(map(file_to, stage.outs))
    message.undeclared.extend(map(file_to, stage.undeclared))
    message.undeclared_deps.extend(stage.undeclared_deps)
    for one in stage.earlier:
        message.earlier.add(
            reason=one.reason, exit_code=one.exit_code, wall_s=one.wall_s, usage=_usage_to(one.usage)
        )


def _usage_to(usage: Usage) -> runs_pb2.ResourceUsage | None:
    if usage.is_empty:
        return None
    return runs_pb2.ResourceUsage(
        peak_memory_bytes=usage.peak_memory_bytes,
        cpu_s=usage.cpu_s,
        read_bytes=usage.read_bytes,
        written_bytes=usage.written_bytes,
    )


def event_to(event: Event) -> runs_pb2.WatchRunResponse:
    """Write an event."""
    message = runs_pb2.WatchRunResponse()
    _write_event(message, event)
    return message


def batches_to(events: Iterable[Event]) -> Iterator[runs_pb2.WatchRunResponse]:
    """Write events, several to a message as long as it stays small: records of stages with many files are large."""
    message, size = runs_pb2.WatchRunResponse(), 0
    for event in events:
        written = message.batch.add()
        _write_event(written, event)
        more = written.ByteSize()
        if size and size + more > _BATCH_BYTES_MAX:
            del message.batch[-1]
            yield message
            message, size = runs_pb2.WatchRunResponse(batch=[written]), 0
        size += more
    if size:
        yield message


def _write_event(message: runs_pb2.WatchRunResponse, event: Event) -> None:
    message.sequence = event.sequence
    if isinstance(event.about, Run):
        message.run.CopyFrom(run_to(event.about, with_stages=False))
    else:
        _write_stage(message.stage, event.about)


def line_to(kept: LogLine) -> runs_pb2.LogLine:
    """Write a line of output."""
    return runs_pb2.LogLine(
        sequence=kept.sequence,
        time=moment(kept.line.time),
        stage=kept.line.stage,
        stream=_STREAM_TO[kept.line.stream],
        text=kept.line.text,
    )


def _error_to(error: RunError | None) -> runs_pb2.RunError | None:
    if error is None:
        return None
    return runs_pb2.RunError(reason=error.reason, message=error.message, hint=error.hint)


def _write_back_to(item: WriteBack) -> runs_pb2.WriteBack:
    return runs_pb2.WriteBack(
        path=item.path,
        digest=digest_to(item.digest),
        executable=item.executable,
        submitted_hash=item.submitted_hash,
        kind=_KIND_TO[item.kind],
    )
