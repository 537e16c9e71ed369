"""What is recorded of a stage of a run: its inputs, and how it ended."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.paths import PathSet
from wherry.service.domain.run import EndedAttempt, FileRecord, StageRecord
from wherry.service.domain.states import CacheUse, HitSource, State
from wherry.service.domain.task import (
    Cancelled,
    Failed,
    LogName,
    Lost,
    Outcome,
    RunId,
    StageTask,
    Succeeded,
    Vanished,
)
from wherry.service.domain.undeclared_deps import deps_to_add
from wherry.service.domain.usage import Usage
from wherry.service.usecases.file_records import dependency_records, output_records, undeclared_records


class Inputs(TypedDict):
    """The part of a record that says what a stage stands on."""

    key: str
    image: str
    deps: tuple[FileRecord, ...]
    params_json: str


class Success(TypedDict):
    """The part of a record that says how a stage succeeded."""

    state: State
    cache: CacheUse
    wall_s: float
    usage: Usage
    earlier: tuple[EndedAttempt, ...]
    exit_code: int | None
    from_run: RunId | None
    from_user: str
    source: HitSource | None
    outs: tuple[FileRecord, ...]
    undeclared: tuple[FileRecord, ...]
    log: LogName | None


def inputs_of(task: StageTask) -> Inputs:
    """What the stage stands on."""
    return {
        "key": task.key,
        "image": task.image.digest,
        "deps": dependency_records(task.stage, task.deps),
        "params_json": json.dumps(task.params) if task.params else "",
    }


def success_of(stage: Stage, outcome: Succeeded) -> Success:
    """How it came to its outputs."""
    return {
        "state": State.SUCCEEDED,
        "cache": outcome.cache,
        "wall_s": outcome.wall_s,
        "usage": outcome.usage,
        "earlier": _earlier(outcome),
        "exit_code": None if outcome.cache == CacheUse.HIT else 0,
        "from_run": outcome.from_run,
        "from_user": outcome.from_user or "",
        "source": outcome.source,
        "outs": output_records(stage, outcome.entry),
        "undeclared": undeclared_records(outcome.undeclared),
        "log": outcome.log,
    }


def undeclared_deps(stage: Stage, read: Sequence[FileRecord], outputs: PathSet) -> tuple[str, ...]:
    """What to add to the deps of the stage, so that what it read is declared; `outputs` is where stages write."""
    return deps_to_add(stage, [file.path for file in read], outputs) if read else ()


def is_hit(outcome: Outcome) -> bool:
    """Whether a known result stands for running the stage."""
    return isinstance(outcome, Succeeded) and outcome.cache == CacheUse.HIT


def note_of_hit(outcome: Outcome) -> str:
    """What is said of a known result: who vouches for it."""
    match outcome:
        case Succeeded(from_run=str(origin), from_user=user):
            return f"cached: computed in run {origin} by {user}"
        case Succeeded(source=HitSource.DVC_LOCK):
            return "cached: as dvc.lock records it"
        case Succeeded(source=HitSource.DVC_RUN_CACHE):
            return "cached: taken from DVC's run cache (run_cache.trust_dvc)"
        case _:
            return ""


def ended_record(latest: StageRecord, record: StageRecord, stage: Stage, outcome: Outcome) -> StageRecord:
    """The final record; `latest` knows the attempt when there was one."""
    if latest.attempt_id is not None or latest.attempt or latest.node or latest.output_after:
        record = replace(
            record,
            attempt=latest.attempt,
            node=latest.node,
            attempt_id=latest.attempt_id,
            output_after=latest.output_after,
        )
    match outcome:
        case Succeeded():
            return replace(record, **success_of(stage, outcome))
        case Failed():
            return replace(
                record,
                state=State.FAILED,
                cache=latest.cache or CacheUse.MISS,
                from_run=latest.from_run,
                from_user=latest.from_user,
                exit_code=outcome.exit_code,
                wall_s=outcome.wall_s,
                usage=outcome.usage,
                earlier=_earlier(outcome),
                reason=outcome.reason,
            )
        case Cancelled():
            return replace(record, state=State.CANCELLED, reason="stopped")
        case Lost() | Vanished():
            return replace(record, state=State.LOST, reason=outcome.reason)


def _earlier(outcome: Succeeded | Failed) -> tuple[EndedAttempt, ...]:
    return tuple(
        EndedAttempt(reason=one.reason, exit_code=one.exit_code, wall_s=one.wall_s, usage=one.usage)
        for one in outcome.earlier
    )
