"""Give one stage of a run its outputs, and record what happens on the way."""

import json
from collections.abc import Sequence
from dataclasses import replace

from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.errors import Unavailable, WherryError
from wherry.service.domain.run import Run, StageRecord
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import Cancelled, Failed, Lost, Outcome, RunId, StageTask, Succeeded
from wherry.service.ports.clock import Clock, Identities
from wherry.service.ports.logs import LogStore, LogStream, NewLine
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.file_records import dependency_records, output_records
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.resolve_stage import ProjectState, ResolveStage
from wherry.service.usecases.run_progress import RunProgress


class AttemptStage:
    """Resolves a stage, has it run, and keeps records and output."""

    def __init__(
        self,
        *,
        resolve: ResolveStage,
        find: FindResult,
        logs: LogStore,
        clock: Clock,
        identities: Identities,
        node: str,
    ) -> None:
        """Run on the machine called `node`."""
        self._resolve = resolve
        self._find = find
        self._logs = logs
        self._clock = clock
        self._identities = identities
        self._node = node

    async def __call__(
        self,
        run: Run,
        state: ProjectState,
        stage: Stage,
        *,
        options: RunOptions,
        progress: RunProgress,
        runner: StageRunner,
    ) -> None:
        """Return when the stage has ended and that is recorded."""
        record = progress.stages[stage.name]
        use_cache = not (options.force or options.no_run_cache)
        try:
            task = await self._resolve(state, stage, run_id=run.id, use_cache=use_cache)
        except WherryError as exc:
            await self._say(run.id, stage, exc.message)
            lost = isinstance(exc, Unavailable)
            await progress.save(
                replace(record, state=State.LOST if lost else State.FAILED, reason=exc.message)
            )
            return
        record = _with_inputs(record, task)
        recorded = await self._find.recorded(task, state.project.recorded(stage))
        if recorded is not None and not options.force:
            outcome: Outcome = Succeeded(entry=recorded, cache=CacheUse.HIT, wall_s=0.0)
        else:
            observer = _Observer(self, run.id, replace(record, attempt=1, node=self._node), progress)
            outcome = await runner.run(task, self._identities.new_attempt_id(), observer)
        if isinstance(outcome, Succeeded):
            state.add_outputs(stage, outcome.entry)
            progress.entries[stage.name] = outcome.entry
        await self._tell_end(run.id, stage, outcome)
        await progress.save(_ended(progress.stages[stage.name], record, stage, outcome))

    async def keep_lines(self, run_id: RunId, stage: str, stream: LogStream, lines: Sequence[bytes]) -> None:
        """Keep output of a stage."""
        now = self._clock.now()
        await self._logs.append(
            run_id, [NewLine(time=now, stage=stage, stream=stream, text=line) for line in lines]
        )

    async def _say(self, run_id: RunId, stage: Stage, text: str) -> None:
        await self.keep_lines(run_id, stage.name, LogStream.SYSTEM, [text.encode()])

    async def _tell_end(self, run_id: RunId, stage: Stage, outcome: Outcome) -> None:
        match outcome:
            case Failed(reason=reason) | Lost(reason=reason):
                await self._say(run_id, stage, reason)
            case Succeeded(cache=CacheUse.HIT, from_run=str(origin), from_user=user):
                await self._say(run_id, stage, f"cached: computed in run {origin} by {user}")
            case _:
                pass


class _Observer(StageObserver):
    """Keeps what a runner tells about one attempt."""

    def __init__(
        self, keeper: AttemptStage, run_id: RunId, record: StageRecord, progress: RunProgress
    ) -> None:
        self._keeper = keeper
        self._run_id = run_id
        self._record = record
        self._progress = progress

    async def entered(self, state: State) -> None:
        self._record = replace(self._record, state=state)
        await self._progress.save(self._record)

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        await self._keeper.keep_lines(self._run_id, self._record.name, stream, lines)


def _with_inputs(record: StageRecord, task: StageTask) -> StageRecord:
    return replace(
        record,
        key=task.key,
        image=task.image.digest,
        deps=dependency_records(task.stage, task.deps),
        params_json=json.dumps(task.params) if task.params else "",
    )


def _ended(latest: StageRecord, record: StageRecord, stage: Stage, outcome: Outcome) -> StageRecord:
    """The final record; `latest` knows the attempt when there was one."""
    record = replace(record, attempt=latest.attempt, node=latest.node)
    match outcome:
        case Succeeded():
            return replace(
                record,
                state=State.SUCCEEDED,
                cache=outcome.cache,
                wall_s=outcome.wall_s,
                exit_code=None if outcome.cache == CacheUse.HIT else 0,
                from_run=outcome.from_run,
                from_user=outcome.from_user or "",
                outs=output_records(stage, outcome.entry),
            )
        case Failed():
            return replace(
                record,
                state=State.FAILED,
                cache=CacheUse.MISS,
                exit_code=outcome.exit_code,
                wall_s=outcome.wall_s,
                reason=outcome.reason,
            )
        case Cancelled():
            return replace(record, state=State.CANCELLED, reason="stopped")
        case Lost():
            return replace(record, state=State.LOST, reason=outcome.reason)
