"""The JSON documents that other programs rely on, made from the protocol's messages.

Keys and words are a contract: they may be added to, never changed. Unknown is null; times are RFC 3339 in
UTC; sizes are bytes; durations are seconds.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from wherry.v1.cache_pb2 import CachedResult, CollectGarbageResponse
from wherry.v1.pipelines_pb2 import (
    Decision,
    Difference,
    Explanation,
    FileRecord,
    HitSource,
    KeyPart,
    LintReport,
    OutputKind,
    Pipeline,
    PipelineStage,
    Plan,
    ResultOrigin,
)
from wherry.v1.runs_pb2 import CacheUse, EndedAttempt, LogLine, LogStream, Phase, Run, StageRecord, State
from wherry.v1.system_pb2 import GetInfoResponse
from wherry.v1.tokens_pb2 import TokenRecord

Json = dict[str, object]


def state_word(state: "State.ValueType") -> str:
    """Say a state: queued, preparing, running, succeeded, failed, cancelled, skipped, lost."""
    return State.Name(state).removeprefix("STATE_").lower()


def decision_word(decision: "Decision.ValueType") -> str:
    """Say a decision: hit, run, waits, frozen, invalid."""
    return Decision.Name(decision).removeprefix("DECISION_").lower()


def source_word(source: "HitSource.ValueType") -> str | None:
    """Say who vouches for a hit: run, dvc_lock, dvc_run_cache; None when it is no hit."""
    return HitSource.Name(source).removeprefix("HIT_SOURCE_").lower() if source else None


def run_document(run: Run) -> Json:
    """Write wherry.run/1."""
    return {
        "schema": "wherry.run/1",
        **_run_facts(run),
        "stages": [stage_document(stage) for stage in run.stages],
        "error": _run_error(run),
    }


def runs_document(runs: Iterable[Run]) -> Json:
    """Write wherry.runs/1: runs without stages."""
    return {
        "schema": "wherry.runs/1",
        "runs": [{**_run_facts(run), "error": _run_error(run)} for run in runs],
    }


def log_line_document(line: LogLine) -> Json:
    """Write wherry.log-line/1. Bytes that are no UTF-8 are replaced."""
    return {
        "schema": "wherry.log-line/1",
        "sequence": line.sequence,
        "time": line.time.ToJsonString() if line.HasField("time") else None,
        "stage": line.stage or None,
        "stream": LogStream.Name(line.stream).removeprefix("LOG_STREAM_").lower(),
        "text": line.text.decode("utf-8", "replace"),
    }


def sweep_document(runs: Iterable[Run]) -> Json:
    """Write wherry.sweep/1: runs as wherry.run/1 has them."""
    return {"schema": "wherry.sweep/1", "runs": [run_document(run) for run in runs]}


def plan_document(plan: Plan) -> Json:
    """Write wherry.plan/1."""
    return {
        "schema": "wherry.plan/1",
        "stages": [
            {
                "name": stage.name,
                "decision": decision_word(stage.decision),
                "reasons": list(stage.reasons),
                "key": stage.key or None,
                "source": source_word(stage.source),
                "settings": [
                    {"name": setting.name, "value": setting.value, "origin": setting.origin}
                    for setting in stage.settings
                ],
            }
            for stage in plan.stages
        ],
    }


def explanation_document(explanation: Explanation) -> Json:
    """Write wherry.why/1. `before` and `after` of a variable are never told: null or empty."""
    return {
        "schema": "wherry.why/1",
        "stage": explanation.stage,
        "decision": decision_word(explanation.decision),
        "reasons": list(explanation.reasons),
        "key": explanation.key or None,
        "source": source_word(explanation.source),
        "origin": _origin(explanation.origin) if explanation.HasField("origin") else None,
        "nearest": _origin(explanation.nearest) if explanation.HasField("nearest") else None,
        "differences": [difference_document(difference) for difference in explanation.differences],
    }


def difference_document(difference: Difference) -> Json:
    """Write one part of two keys that is not the same."""
    return {
        "part": KeyPart.Name(difference.part).removeprefix("KEY_PART_").lower(),
        "name": difference.name or None,
        "before": difference.before if difference.HasField("before") else None,
        "after": difference.after if difference.HasField("after") else None,
        "text": difference.text,
    }


def cached_result_document(result: CachedResult, *, whole: bool = False) -> Json:
    """Write a result of the run cache; `whole`: with what it was computed from."""
    document: Json = {
        "key": result.key,
        "cmd": list(result.cmd) if result.cmd_is_list else "".join(result.cmd),
        "wdir": result.wdir or None,
        "run": result.run,
        "user": result.user or None,
        "image": result.image,
        "wall_s": result.wall_s,
        "created_at": result.created_at.ToJsonString(),
        "used_at": result.used_at.ToJsonString(),
        "pinned": result.pinned,
        "held": result.held,
        "outs": [_file(out) for out in result.outs],
    }
    if whole:
        document["deps"] = [_file(dep) for dep in result.deps]
        document["params"] = _params(result.params_json)
    return document


def gc_document(collected: CollectGarbageResponse, *, dry: bool) -> Json:
    """Write wherry.gc/1."""
    return {
        "schema": "wherry.gc/1",
        "dry": dry,
        "results": collected.results,
        "blobs": collected.blobs,
        "bytes": collected.bytes,
    }


def token_document(record: TokenRecord) -> Json:
    """Write what may be told of a token."""
    return {
        "name": record.name,
        "user": record.user,
        "created_at": record.created_at.ToJsonString(),
        "used_at": record.used_at.ToJsonString() if record.HasField("used_at") else None,
        "expires_at": record.expires_at.ToJsonString() if record.HasField("expires_at") else None,
    }


def lint_document(report: LintReport) -> Json:
    """Write wherry.lint/1. Paths are relative to the DVC root."""
    return {
        "schema": "wherry.lint/1",
        "problems": [
            {
                "path": problem.path,
                "line": problem.line or None,
                "column": problem.column or None,
                "id": problem.reason,
                "message": problem.message,
                "hint": problem.hint or None,
            }
            for problem in report.problems
        ],
    }


def dag_document(pipeline: Pipeline) -> Json:
    """Write wherry.dag/1. A data source (a .dvc file) is a node without a command."""
    return {
        "schema": "wherry.dag/1",
        "nodes": [_node(stage) for stage in pipeline.stages],
        "edges": [[edge.producer, edge.consumer] for edge in pipeline.edges],
    }


def service_document(
    home: Path, *, pid: int | None, address: str | None, info: GetInfoResponse | None
) -> Json:
    """Write wherry.service/1; without `info` the service does not answer."""
    return {
        "schema": "wherry.service/1",
        "pid": pid,
        "address": address,
        "home": str(home),
        "healthy": info is not None,
        "version": (info.version or None) if info else None,
        "s3_endpoint": (info.s3_endpoint or None) if info else None,
        "store_url": (info.store_url or None) if info else None,
        "engine_version": (info.engine_version or None) if info else None,
    }


def run_seconds(run: Run) -> float | None:
    """Seconds from the run's start to its end."""
    begin = run.started_at if run.HasField("started_at") else run.created_at
    return _between(begin, run.finished_at) if run.HasField("finished_at") else None


def _run_facts(run: Run) -> Json:
    return {
        "id": run.id,
        "name": run.name,
        "project": run.project,
        "user": run.user or None,
        "rev": run.rev or None,
        "dirty": run.dirty if run.rev else None,
        "state": state_word(run.state),
        "created_at": _time(run, "created_at"),
        "started_at": _time(run, "started_at"),
        "finished_at": _time(run, "finished_at"),
        "queue_s": _between(run.created_at, run.started_at) if run.HasField("started_at") else None,
        "wall_s": run_seconds(run),
        "compute_s": run.compute_s,
        "saved_s": run.saved_s,
        "labels": dict(run.labels),
        "priority": run.priority,
    }


def _origin(origin: ResultOrigin) -> Json:
    return {
        "run": origin.run,
        "user": origin.user or None,
        "created_at": origin.created_at.ToJsonString() if origin.HasField("created_at") else None,
    }


def _run_error(run: Run) -> Json | None:
    if not run.HasField("error"):
        return None
    return {"id": run.error.reason, "message": run.error.message, "hint": run.error.hint or None}


def stage_document(stage: StageRecord) -> Json:
    """Write a stage of wherry.run/1."""
    return {
        "name": stage.name,
        "state": state_word(stage.state),
        "phase": Phase.Name(stage.phase).removeprefix("PHASE_").lower() if stage.phase else None,
        "since": stage.since.ToJsonString() if stage.HasField("since") else None,
        "cache": CacheUse.Name(stage.cache).removeprefix("CACHE_USE_").lower() if stage.cache else None,
        "key": stage.key or None,
        "from_run": stage.from_run or None,
        "source": source_word(stage.source),
        "attempt": stage.attempt,
        "node": stage.node or None,
        "image": stage.image or None,
        "exit_code": stage.exit_code if stage.HasField("exit_code") else None,
        "reason": stage.reason or None,
        "wall_s": stage.wall_s if stage.HasField("wall_s") else None,
        "usage": _usage(stage),
        "earlier_attempts": [
            {
                "reason": one.reason,
                "exit_code": one.exit_code if one.HasField("exit_code") else None,
                "wall_s": one.wall_s if one.HasField("wall_s") else None,
                "usage": _usage(one),
            }
            for one in stage.earlier
        ],
        "deps": [_file(record) for record in stage.deps],
        "outs": [_file(record) for record in stage.outs],
        "params": _params(stage.params_json),
        "undeclared": [{"path": record.path, "md5": record.hash or None} for record in stage.undeclared],
    }


def _usage(attempt: StageRecord | EndedAttempt) -> Json | None:
    if not attempt.HasField("usage"):
        return None
    used = attempt.usage
    return {
        "peak_memory_bytes": used.peak_memory_bytes if used.HasField("peak_memory_bytes") else None,
        "cpu_s": used.cpu_s if used.HasField("cpu_s") else None,
        "read_bytes": used.read_bytes if used.HasField("read_bytes") else None,
        "written_bytes": used.written_bytes if used.HasField("written_bytes") else None,
    }


def _file(record: FileRecord) -> Json:
    return {
        "path": record.path,
        "md5": record.hash or None,
        "size": record.size_bytes if record.hash else None,
        "nfiles": record.nfiles if record.HasField("nfiles") else None,
    }


def _params(text: str) -> Mapping[str, object]:
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _node(stage: PipelineStage) -> Json:
    cmd: object = list(stage.cmd) if stage.cmd_is_list else (stage.cmd[0] if stage.cmd else None)
    return {
        "name": stage.name,
        "cmd": cmd,
        "wdir": stage.wdir,
        "frozen": stage.frozen,
        "always_changed": stage.always_changed,
        "deps": list(stage.deps),
        "params": {params.file: list(params.keys) or None for params in stage.params},
        "outs": [
            {
                "path": out.path,
                "kind": OutputKind.Name(out.kind).removeprefix("OUTPUT_KIND_").lower(),
                "cache": out.cache,
                "persist": out.persist,
            }
            for out in stage.outs
        ],
    }


def _time(run: Run, name: str) -> str | None:
    value: Timestamp = getattr(run, name)
    return value.ToJsonString() if run.HasField(name) else None  # type: ignore[arg-type]


def _between(begin: Timestamp, end: Timestamp) -> float:
    return round(max(0.0, (end.ToNanoseconds() - begin.ToNanoseconds()) / 1e9), 3)
