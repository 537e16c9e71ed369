"""Give one stage of a run its outputs, and record what happens on the way."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.errors import BlobMissing, Unavailable, WherryError
from wherry.service.domain.records import StageEntry
from wherry.service.domain.run import Run, StageRecord
from wherry.service.domain.states import CacheUse, HitSource, Phase, State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import (
    AttemptId,
    Failed,
    Lost,
    Outcome,
    RunId,
    StageTask,
    Succeeded,
    Vanished,
)
from wherry.service.ports.clock import Clock, Identities
from wherry.service.ports.logs import LogStore, LogStream, NewLine
from wherry.service.ports.stages import OutputPlace, StageObserver, StageRunner
from wherry.service.usecases.find_recorded import FindRecorded
from wherry.service.usecases.find_result import FROZEN_WITHOUT_OUTPUTS, FindResult
from wherry.service.usecases.force_downstream import is_forced, is_up_to_date
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.patience import patiently
from wherry.service.usecases.resolve_stage import ProjectState, ResolveStage
from wherry.service.usecases.run_progress import RunProgress
from wherry.service.usecases.stage_records import (
    ended_record,
    inputs_of,
    is_hit,
    note_of_hit,
    undeclared_deps,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingRun:
    """A run while it goes on, with all that its stages share."""

    run: Run
    state: ProjectState
    options: RunOptions
    progress: RunProgress
    runner: StageRunner
    waits: dict[StageName, int] = field(default_factory=dict)
    """How often stages waited for an input to be made anew."""


class AttemptStage:
    """Resolves a stage, has it run, and keeps records and output."""

    def __init__(
        self,
        *,
        resolve: ResolveStage,
        recorded: FindRecorded,
        find: FindResult,
        logs: LogStore,
        clock: Clock,
        identities: Identities,
        note_use: NoteUse,
        node: str,
    ) -> None:
        """Run on the machine called `node`."""
        self._note_use = note_use
        self._resolve = resolve
        self._recorded = recorded
        self._find = find
        self._logs = logs
        self._clock = clock
        self._identities = identities
        self._node = node

    async def __call__(self, going: GoingRun, stage: Stage) -> Vanished | None:
        """Return when the stage has ended and that is recorded, or when it cannot go on because an input is gone."""
        record = going.progress.stages[stage.name]
        if stage.frozen:
            outcome = await self._or_lost(patiently(lambda: self._frozen(going, stage), self._clock))
            await self.end(going, stage, record, outcome)
            return None
        forced = going.options.force or stage.name in going.options.forced or _is_forced(going, stage)
        use_cache = not (forced or going.options.no_run_cache)
        try:
            task = await patiently(
                partial(
                    self._resolve,
                    going.state,
                    stage,
                    run_id=going.run.id,
                    use_cache=use_cache,
                    forced=forced,
                ),
                self._clock,
                tell=partial(self._tell_wait, going, stage),
            )
        except BlobMissing as exc:
            return Vanished(reason=exc.message)
        except Unavailable as exc:
            await self.end(going, stage, record, Lost(reason=exc.message))
        except WherryError as exc:
            if exc.hint:
                await self.say(going.run.id, stage, exc.hint)
            await self.end(going, stage, record, Failed(reason=exc.sentence(), exit_code=None, wall_s=None))
        else:
            record = replace(record, **inputs_of(task))
            if stage.name in going.progress.restoring:
                task = replace(task, restores=True)
            outcome = await self._outcome(going, task, record)
            if isinstance(outcome, Vanished):
                return outcome
            await self.end(going, stage, record, outcome)
        return None

    async def _frozen(self, going: GoingRun, stage: Stage) -> Outcome:
        """A frozen stage never runs: its outputs are those of dvc.lock."""
        recorded = await self._recorded(going.state.project, stage)
        if recorded is None or not await self._find.is_complete(stage, recorded):
            return Failed(reason=FROZEN_WITHOUT_OUTPUTS, exit_code=None, wall_s=None)
        return Succeeded(entry=recorded, cache=CacheUse.HIT, wall_s=0.0, source=HitSource.DVC_LOCK)

    async def _outcome(self, going: GoingRun, task: StageTask, record: StageRecord) -> Outcome:
        stage = task.stage
        if _forces_downstream(going) and not is_up_to_date(task):
            going.progress.renewed.add(stage.name)
        observer = _Observer(self, going, replace(record, node=self._node))
        outcome = await self._or_lost(going.runner.run(task, self._identities.new_attempt_id(), observer))
        if not isinstance(outcome, Succeeded):
            return outcome
        # Inputs as they are written here: a result may come from a project that spells them otherwise.
        entry = StageEntry(cmd=stage.cmd, deps=task.deps, params=task.params, outs=outcome.entry.outs)
        return replace(outcome, entry=entry)

    async def _or_lost(self, work: Awaitable[Outcome]) -> Outcome:
        """What came of it; what was waited for in vain is no fault of the stage."""
        try:
            return await work
        except Unavailable as exc:
            return Lost(reason=exc.message)

    async def _tell_wait(self, going: GoingRun, stage: Stage, reason: str) -> None:
        await self.say(going.run.id, stage, f"{reason}; it is tried again")
        going.progress.note(replace(going.progress.stages[stage.name], reason=reason))

    async def end(self, going: GoingRun, stage: Stage, record: StageRecord, outcome: Outcome) -> None:
        """Record how a stage ended."""
        if isinstance(outcome, Succeeded):
            going.state.add_outputs(stage, outcome.entry)
            going.progress.entries[stage.name] = outcome.entry
            self._note_use(out.hash for out in outcome.entry.outs)
        if not is_hit(outcome):
            await self._tell_end(going.run.id, stage, outcome)
        latest = going.progress.stages[stage.name]
        ended = ended_record(latest, record, stage, outcome)
        if ended.undeclared:
            ended = replace(
                ended, undeclared_deps=undeclared_deps(stage, ended.undeclared, going.state.outputs)
            )
        if is_hit(outcome):
            # Nobody waits for these to be kept, one by one: of a run of known results they are kept many at once.
            going.progress.note(ended, said=note_of_hit(outcome))
        else:
            await going.progress.save(ended)

    async def keep_lines(self, run_id: RunId, stage: str, stream: LogStream, lines: Sequence[bytes]) -> None:
        """Keep output of a stage."""
        now = self._clock.now()
        await self._logs.append(
            run_id, [NewLine(time=now, stage=stage, stream=stream, text=line) for line in lines]
        )

    async def last_line(self, run_id: RunId) -> int:
        """Sequence number of the newest line of a run."""
        return await self._logs.last_sequence(run_id)

    async def say(self, run_id: RunId, stage: Stage, text: str) -> None:
        """Put a line of our own into the output of a stage."""
        await self.keep_lines(run_id, stage.name, LogStream.SYSTEM, [text.encode()])

    async def _tell_end(self, run_id: RunId, stage: Stage, outcome: Outcome) -> None:
        match outcome:
            case Failed(reason=reason) | Lost(reason=reason):
                await self.say(run_id, stage, reason)
            case Succeeded(cache=CacheUse.MERGED, from_run=str(origin), from_user=user):
                await self.say(run_id, stage, f"computed once, in run {origin} of {user}")
            case _:
                pass


class _Observer(StageObserver):
    """Keeps what a runner tells about the attempts at one stage."""

    def __init__(self, keeper: AttemptStage, going: GoingRun, record: StageRecord) -> None:
        self._keeper = keeper
        self._going = going
        self._record = record

    async def began(self, attempt: AttemptId) -> None:
        self._record = replace(self._record, attempt=self._record.attempt + 1)
        await self._take_output_of(attempt)

    async def resumed(self, attempt: AttemptId) -> None:
        if self._record.attempt_id != attempt:
            await self.began(attempt)
        await self.entered(State.RUNNING)

    async def attached(self, origin: OutputPlace, state: State) -> None:
        known = self._record.attempt_id
        is_new = (self._record.cache, self._record.from_run) != (CacheUse.MERGED, origin.run_id)
        if is_new:
            said = f"attached to run {origin.run_id} of {origin.user}: the same is being computed there"
            await self.wrote(LogStream.SYSTEM, [said.encode()])
            self._record = replace(
                self._record, cache=CacheUse.MERGED, from_run=origin.run_id, from_user=origin.user
            )
        # It may be known already, since before a restart: then its output goes on where it was.
        if origin.attempt not in {None, known} or (is_new and known is None):
            await self._take_output_of(origin.attempt)
        await self.entered(state)

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        self._record = replace(self._record, state=state, phase=phase, reason="")
        noted = self._going.progress.stages[self._record.name]
        self._going.progress.note(self._record)
        # Where its output is must be kept before that is: after a restart it is gone on with.
        if _seat(noted) != _seat(self._record):
            await self._going.progress.settle()

    async def waits(self, reason: str) -> None:
        self._record = replace(self._record, reason=reason)
        await self._going.progress.save(self._record)

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        await self._keeper.keep_lines(self._going.run.id, self._record.name, stream, lines)

    def place(self) -> OutputPlace:
        return OutputPlace(
            run_id=self._going.run.id,
            user=self._going.run.user,
            stage=self._record.name,
            after=self._record.output_after,
            attempt=self._record.attempt_id,
        )

    async def _take_output_of(self, attempt: AttemptId | None) -> None:
        after = await self._keeper.last_line(self._going.run.id)
        self._record = replace(self._record, attempt_id=attempt, output_after=after)


def _seat(record: StageRecord) -> tuple[object, ...]:
    return record.state, record.attempt_id, record.output_after, record.from_run


def _forces_downstream(going: GoingRun) -> bool:
    return going.state.project.submission.selection.force_downstream


def _is_forced(going: GoingRun, stage: Stage) -> bool:
    return is_forced(going.state.project, stage, going.progress.renewed)
