"""Explain the cache decision about one stage: now, or as it was made in a run."""

from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import InvalidInput, StageUnknown
from wherry.service.domain.explanation import Difference
from wherry.service.domain.run import Run, StageRecord
from wherry.service.domain.states import CacheUse, HitSource, State
from wherry.service.domain.submission import Needs, Submission
from wherry.service.domain.task import RunId, StrictKey
from wherry.service.ports.run_cache import Result, RunCache
from wherry.service.ports.runs import RunStore
from wherry.service.usecases.find_nearest_result import FindNearestResult, Near
from wherry.service.usecases.plan_run import NO_RESULT, Decision, Plan, PlannedStage, PlanRun

# Earlier runs of the project in which a result of the same stage is looked for.
_EARLIER_RUNS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a result comes from."""

    run_id: RunId
    user: str
    created_at: datetime | None
    """When it was kept; None: not known any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a stage is, or was, computed or not."""

    stage: StageName
    decision: Decision
    reasons: tuple[str, ...]
    key: str = ""
    origin: Origin | None = None
    """Of a hit that a run vouches for: whose result."""
    nearest: Origin | None = None
    """Of a stage that runs: the result that differs least; None when none of the same stage is known."""
    differences: tuple[Difference, ...] = ()
    source: HitSource | None = None
    """Of a hit and a frozen stage: who vouches for its outputs."""


class ExplainStage:
    """Tells what was compared, with the parts that decide."""

    def __init__(self, *, plan: PlanRun, runs: RunStore, cache: RunCache, nearest: FindNearestResult) -> None:
        """Decide through `plan`; look at the past in `runs` and `cache`."""
        self._plan = plan
        self._runs = runs
        self._cache = cache
        self._nearest = nearest

    async def now(self, submission: Submission) -> Explanation | Needs:
        """Explain what a run would do with the stage that is the submission's one target.

        Raises:
            InvalidInput: if the target stands for several stages.
            StageUnknown: if it stands for none.
        """
        if len(submission.targets) != 1:
            raise InvalidInput("one stage can be explained at a time", hint="Name one stage.")
        plan = await self._plan(submission, force=False)
        return plan if isinstance(plan, Needs) else _explain_plan(plan, submission.targets[0])

    async def of_run(self, run: str, stage: str) -> Explanation:
        """Explain what was decided about a stage of a run.

        Raises:
            RunUnknown: if there is no such run.
            StageUnknown: if the run has no such stage.
        """
        found = await self._runs.get(run)
        name = StageName(stage)
        if name not in found.stages:
            near = get_close_matches(stage, found.stages, n=1)
            raise StageUnknown(
                f"run {found.id} has no stage {stage!r}", hint=f"Did you mean {near[0]!r}?" if near else ""
            )
        record = found.stages[name]
        settled = _explain_settled(record)
        if settled is not None:
            return settled
        if record.cache == CacheUse.HIT:
            return await self._explain_hit(record)
        return await self._explain_miss(found, record)

    async def _explain_hit(self, record: StageRecord) -> Explanation:
        if record.from_run is None:
            from_cache = record.source == HitSource.DVC_RUN_CACHE
            return _of(
                record,
                Decision.HIT,
                "it was in DVC's run cache (run_cache.trust_dvc)"
                if from_cache
                else "its outputs were those that dvc.lock recorded",
            )
        results = await self._cache.find(StrictKey(record.key))
        result = next((result for result in results if result.run_id == record.from_run), None)
        return Explanation(
            stage=record.name,
            decision=Decision.HIT,
            reasons=(f"computed in run {record.from_run} by {record.from_user}",),
            key=record.key,
            source=HitSource.RUN,
            origin=Origin(
                run_id=record.from_run,
                user=record.from_user,
                created_at=None if result is None else result.created_at,
            ),
        )

    async def _explain_miss(self, run: Run, record: StageRecord) -> Explanation:
        near = await self._nearest_then(run, record)
        return Explanation(
            stage=record.name,
            decision=Decision.RUN,
            reasons=("no result was known for these inputs",),
            key=record.key,
            nearest=_origin(near[0]) if near else None,
            differences=near[1] if near else (),
        )

    async def _nearest_then(self, run: Run, record: StageRecord) -> Near | None:
        results = await self._cache.find(StrictKey(record.key))
        # One that was computed again since stands for the first: it read the same.
        stand_in = results[0] if results and record.state == State.SUCCEEDED else None
        known = next((result for result in results if result.run_id == run.id), stand_in)
        if known is not None and known.family is not None:
            return await self._nearest.before(known, run.created_at)
        relative = await self._relative(run, record.name)
        return await self._nearest.of_record(record, relative, run.created_at) if relative else None

    async def _relative(self, run: Run, stage: StageName) -> Result | None:
        """A result of the stage of that name in an earlier run of the project: it knows the family."""
        earlier = await self._runs.list_page(
            project=run.project, active_only=False, before=run.id, limit=_EARLIER_RUNS_MAX
        )
        for other in earlier:
            record = (await self._runs.get(other.id)).stages.get(stage)
            for result in await self._cache.find(StrictKey(record.key)) if record and record.key else ():
                if result.family is not None:
                    return result
        return None


def _explain_plan(plan: Plan, target: str) -> Explanation:
    selected = {stage.name: stage for stage in plan.stages}
    read = {before for name in selected for before in plan.upstream[name]}
    # All else that is selected is upstream of the target.
    targets = [stage for stage in plan.stages if stage.name not in read]
    if len(targets) != 1:
        raise InvalidInput(
            f"{target!r} stands for {len(targets)} stages",
            hint=f"Name one of them: {', '.join(plan.addresses[stage.name] for stage in targets[:10])}",
        )
    planned = targets[0]
    return Explanation(
        stage=planned.name,
        decision=planned.decision,
        reasons=_reasons(plan, planned),
        key=planned.key,
        source=planned.source,
        origin=_origin(planned.origin),
        nearest=_origin(planned.nearest),
        differences=planned.differences,
    )


def _reasons(plan: Plan, planned: PlannedStage) -> tuple[str, ...]:
    if planned.decision == Decision.WAITS:
        first = [stage for stage in plan.stages if stage.decision in {Decision.RUN, Decision.INVALID}]
        return (
            *planned.reasons,
            *(
                f"{plan.addresses[stage.name]} has to run first: {', '.join(stage.reasons)}"
                for stage in first
            ),
        )
    return (NO_RESULT,) if planned.nearest is not None else planned.reasons


def _explain_settled(record: StageRecord) -> Explanation | None:
    """What needs no comparison: it was not come to, could not be, or known results did not count."""
    if record.cache == CacheUse.BYPASS:
        return _of(record, Decision.RUN, "known results were not to be used (--force, --no-run-cache)")
    if record.cache == CacheUse.NOT_CACHEABLE:
        return _of(record, Decision.RUN, "results of this stage are not kept: it is run every time")
    if record.key or record.cache == CacheUse.HIT:
        return None
    if record.state == State.FAILED:
        return _of(record, Decision.INVALID, record.reason)
    return _of(record, Decision.WAITS, record.reason or f"not decided: the stage is {record.state}")


def _of(record: StageRecord, decision: Decision, reason: str) -> Explanation:
    return Explanation(
        stage=record.name, decision=decision, reasons=(reason,), key=record.key, source=record.source
    )


def _origin(result: Result | None) -> Origin | None:
    if result is None:
        return None
    return Origin(run_id=result.run_id, user=result.user, created_at=result.created_at)
