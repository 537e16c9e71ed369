"""Say what a run would do, without doing it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.addresses import address_from
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.effective_settings import EffectiveSetting, effective_settings
from wherry.service.domain.errors import WherryError
from wherry.service.domain.explanation import Difference, describe
from wherry.service.domain.images.image import warnings_of
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import StageEntry
from wherry.service.domain.run import FileRecord
from wherry.service.domain.states import HitSource
from wherry.service.domain.submission import Needs, Submission
from wherry.service.domain.task import RunId, StageTask
from wherry.service.ports.run_cache import Result
from wherry.service.usecases.file_records import output_records
from wherry.service.usecases.find_nearest_result import FindNearestResult
from wherry.service.usecases.find_recorded import FindRecorded
from wherry.service.usecases.find_result import FROZEN_WITHOUT_OUTPUTS, FindResult, Known
from wherry.service.usecases.force_downstream import is_forced, is_up_to_date
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.read_project import find_unlooked
from wherry.service.usecases.resolve_stage import ProjectState, ResolveStage

NO_RESULT = "no result is known for these inputs"
UNCHANGED_IN_LOCK = "unchanged since dvc.lock was written"
FROM_DVC_RUN_CACHE = "in DVC's run cache (run_cache.trust_dvc)"

# Of what differs from the nearest result; `wherry why` tells all.
_SHOWN_DIFFERENCES = 3


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
    source: HitSource | None = None
    """Of a hit and a frozen stage: who vouches for its outputs."""
    origin: Result | None = None
    """Of a hit that a run vouches for: its result."""
    nearest: Result | None = None
    """Of a stage that runs for want of a result: the known one that differs least."""
    differences: tuple[Difference, ...] = ()
    """What differs from the nearest."""
    settings: tuple[EffectiveSetting, ...] = ()
    """What its container would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do."""

    stages: tuple[PlannedStage, ...]
    sources: tuple[FileRecord, ...]
    upstream: Mapping[StageName, tuple[StageName, ...]] = field(default_factory=dict, repr=False)
    """For each stage of the project, what it reads from."""
    addresses: Mapping[StageName, str] = field(default_factory=dict, repr=False)
    """How each stage and data source is called in the folder of the submission, for sentences."""
    warnings: tuple[str, ...] = ()
    """What whoever submits should know."""


class PlanRun:
    """Goes through a pipeline as a run would, as far as known results carry."""

    def __init__(
        self,
        *,
        open_project: OpenProject,
        resolve: ResolveStage,
        recorded: FindRecorded,
        find: FindResult,
        nearest: FindNearestResult,
        server_settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Decide as a run does, with the same parts; `nearest` only explains, and so does what the server says of settings."""
        self._server_settings = server_settings
        self._open_project = open_project
        self._resolve = resolve
        self._recorded = recorded
        self._find = find
        self._nearest = nearest

    async def __call__(self, submission: Submission, *, force: bool) -> Plan | Needs:
        """Return the plan, or what is needed to make it."""
        state = await self._open_project(submission, upload=False)
        if isinstance(state, Needs):
            return state
        unknown, renewed = set[StageName](), set[StageName]()
        planned = []
        for stage in state.project.stages:
            forced = force or is_forced(state.project, stage, renewed)
            decided = await self._plan(state, stage, unknown=unknown, renewed=renewed, force=forced)
            settings = effective_settings(state.project.settings[stage.name], self._server_settings)
            planned.append(replace(decided, settings=settings))
        return Plan(
            stages=tuple(planned),
            sources=tuple(_sources(state)),
            upstream=state.project.pipeline.upstream,
            addresses={name: _address(state, name) for name in state.project.selected},
            warnings=(*find_unlooked(state.project), *warnings_of(state.images.values())),
        )

    async def _plan(
        self,
        state: ProjectState,
        stage: Stage,
        *,
        unknown: set[StageName],
        renewed: set[StageName],
        force: bool,
    ) -> PlannedStage:
        if stage.frozen:
            return await self._plan_frozen(state, stage, unknown)
        before = [name for name in state.project.pipeline.upstream[stage.name] if name in unknown]
        if before:
            unknown.add(stage.name)
            reasons = tuple(f"needs what {_address(state, name)} makes" for name in before)
            return PlannedStage(name=stage.name, decision=Decision.WAITS, reasons=reasons)
        try:
            task = await self._resolve(state, stage, run_id=RunId(""), use_cache=not force, forced=force)
        except WherryError as exc:
            unknown.add(stage.name)
            return PlannedStage(name=stage.name, decision=Decision.INVALID, reasons=(exc.sentence(),))
        if not is_up_to_date(task):
            renewed.add(stage.name)
        planned, entry = await self._look_up(state, stage, task, force=force)
        if entry is None:
            unknown.add(stage.name)
        else:
            state.add_outputs(stage, entry)
        return planned

    async def _plan_frozen(self, state: ProjectState, stage: Stage, unknown: set[StageName]) -> PlannedStage:
        recorded = await self._recorded(state.project, stage)
        if recorded is None or not await self._find.is_complete(stage, recorded):
            unknown.add(stage.name)
            return PlannedStage(name=stage.name, decision=Decision.INVALID, reasons=(FROZEN_WITHOUT_OUTPUTS,))
        state.add_outputs(stage, recorded)
        return PlannedStage(
            name=stage.name,
            decision=Decision.FROZEN,
            reasons=("frozen: dvc.lock records its outputs",),
            outs=output_records(stage, recorded),
            source=HitSource.DVC_LOCK,
        )

    async def _look_up(
        self, state: ProjectState, stage: Stage, task: StageTask, *, force: bool
    ) -> tuple[PlannedStage, StageEntry | None]:
        known = await self._find(task)
        if known is not None:
            return _hit(task, known), known.entry
        return await self._plan_to_run(task, force=force), None

    async def _plan_to_run(self, task: StageTask, *, force: bool) -> PlannedStage:
        stage = task.stage
        reason = _why_run(stage, task, force=force)
        planned = PlannedStage(name=stage.name, decision=Decision.RUN, reasons=(reason,), key=task.key)
        near = await self._nearest(task) if task.cacheable and not force else None
        if near is None:
            return planned
        result, differences = near
        return replace(
            planned,
            reasons=_difference_reasons(differences) or planned.reasons,
            nearest=result,
            differences=differences,
        )


def _address(state: ProjectState, name: StageName) -> str:
    return address_from(state.project.pipeline, name, state.project.submission.working_folder)


def _hit(task: StageTask, known: Known) -> PlannedStage:
    return PlannedStage(
        name=task.stage.name,
        decision=Decision.HIT,
        reasons=(_why_hit(known),),
        key=task.key,
        outs=output_records(task.stage, known.entry),
        source=known.source,
        origin=known.result,
    )


def _why_hit(known: Known) -> str:
    if known.result is not None:
        return f"computed in run {known.result.run_id} by {known.result.user}"
    return FROM_DVC_RUN_CACHE if known.source == HitSource.DVC_RUN_CACHE else UNCHANGED_IN_LOCK


def _difference_reasons(differences: Sequence[Difference]) -> tuple[str, ...]:
    reasons = [describe(difference) for difference in differences[:_SHOWN_DIFFERENCES]]
    if len(differences) > _SHOWN_DIFFERENCES:
        reasons.append(f"and {len(differences) - _SHOWN_DIFFERENCES} more")
    return tuple(reasons)


def _why_run(stage: Stage, task: StageTask, *, force: bool) -> str:
    if force:
        return "forced"
    if stage.always_changed:
        return "declared as always changed"
    if not task.cacheable:
        return "has no outputs to keep" if not stage.outs else "has no inputs that say when it is outdated"
    return NO_RESULT


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
