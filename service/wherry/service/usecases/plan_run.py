"""Say what a run would do, without doing it."""

from dataclasses import dataclass
from enum import StrEnum

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.errors import WherryError
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import StageEntry
from wherry.service.domain.run import FileRecord
from wherry.service.domain.submission import Needs, Submission
from wherry.service.domain.task import RunId, StageTask
from wherry.service.ports.run_cache import Result
from wherry.service.usecases.file_records import output_records
from wherry.service.usecases.find_result import FROZEN_WITHOUT_OUTPUTS, FindResult
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.resolve_stage import ProjectState, ResolveStage


class Decision(StrEnum):
    """What is to be done with a stage."""

    HIT = "hit"
    RUN = "run"
    WAITS = "waits"
    FROZEN = "frozen"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """What a run would do with one stage."""

    name: StageName
    decision: Decision
    reasons: tuple[str, ...]
    key: str = ""
    outs: tuple[FileRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do."""

    stages: tuple[PlannedStage, ...]
    sources: tuple[FileRecord, ...]


class PlanRun:
    """Goes through a pipeline as a run would, as far as known results carry."""

    def __init__(self, *, open_project: OpenProject, resolve: ResolveStage, find: FindResult) -> None:
        """Decide as a run does: with the same parts."""
        self._open_project = open_project
        self._resolve = resolve
        self._find = find

    async def __call__(self, submission: Submission, *, force: bool) -> Plan | Needs:
        """Return the plan, or what is needed to make it."""
        state = await self._open_project(submission, upload=False)
        if isinstance(state, Needs):
            return state
        unknown = set[StageName]()
        planned = [
            await self._plan(state, stage, unknown=unknown, force=force) for stage in state.project.stages
        ]
        return Plan(stages=tuple(planned), sources=tuple(_sources(state)))

    async def _plan(
        self, state: ProjectState, stage: Stage, *, unknown: set[StageName], force: bool
    ) -> PlannedStage:
        if stage.frozen:
            return await self._plan_frozen(state, stage, unknown)
        before = [name for name in state.project.pipeline.upstream[stage.name] if name in unknown]
        if before:
            unknown.add(stage.name)
            reasons = tuple(f"needs what {name} makes" for name in before)
            return PlannedStage(name=stage.name, decision=Decision.WAITS, reasons=reasons)
        try:
            task = await self._resolve(state, stage, run_id=RunId(""), use_cache=not force)
        except WherryError as exc:
            unknown.add(stage.name)
            return PlannedStage(name=stage.name, decision=Decision.INVALID, reasons=(exc.message,))
        planned, entry = await self._look_up(state, stage, task, force=force)
        if entry is None:
            unknown.add(stage.name)
        else:
            state.add_outputs(stage, entry)
        return planned

    async def _plan_frozen(self, state: ProjectState, stage: Stage, unknown: set[StageName]) -> PlannedStage:
        recorded = state.project.recorded(stage)
        if recorded is None or not await self._find.is_complete(stage, recorded):
            unknown.add(stage.name)
            return PlannedStage(name=stage.name, decision=Decision.INVALID, reasons=(FROZEN_WITHOUT_OUTPUTS,))
        state.add_outputs(stage, recorded)
        return PlannedStage(
            name=stage.name,
            decision=Decision.FROZEN,
            reasons=("frozen: dvc.lock records its outputs",),
            outs=output_records(stage, recorded),
        )

    async def _look_up(
        self, state: ProjectState, stage: Stage, task: StageTask, *, force: bool
    ) -> tuple[PlannedStage, StageEntry | None]:
        recorded = await self._find.recorded(task, state.project.recorded(stage))
        if recorded is not None:
            return _known(task, "unchanged since dvc.lock was written", recorded), recorded
        result = await self._find(task)
        if result is not None:
            return _known(task, _origin(result), result.entry), result.entry
        reason = _why_run(stage, task, force=force)
        return PlannedStage(name=stage.name, decision=Decision.RUN, reasons=(reason,), key=task.key), None


def _known(task: StageTask, reason: str, entry: StageEntry) -> PlannedStage:
    return PlannedStage(
        name=task.stage.name,
        decision=Decision.HIT,
        reasons=(reason,),
        key=task.key,
        outs=output_records(task.stage, entry),
    )


def _origin(result: Result) -> str:
    return f"computed in run {result.run_id} by {result.user}"


def _why_run(stage: Stage, task: StageTask, *, force: bool) -> str:
    if force:
        return "forced"
    if stage.always_changed:
        return "declared as always changed"
    if not task.cacheable:
        return "has no outputs to keep" if not stage.outs else "has no inputs that say when it is outdated"
    return "no result is known for these inputs"


def _sources(state: ProjectState) -> list[FileRecord]:
    return [
        _source_record(out.project_path, state) for source in state.project.sources for out in source.outs
    ]


def _source_record(path: ProjectPath, state: ProjectState) -> FileRecord:
    placed = state.placed[path]
    return FileRecord(
        path=path,
        hash=BlobHash(placed.hash),
        size_bytes=placed.total_bytes,
        nfiles=placed.nfiles,
        executable=placed.executable,
    )
