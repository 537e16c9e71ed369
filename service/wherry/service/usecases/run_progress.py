"""How far a run has come: the records of its stages, and which can go next."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from wherry.service.domain.dvc.graph import active_upstream
from wherry.service.domain.dvc.stage import Pipeline, Stage, StageName
from wherry.service.domain.errors import Unavailable
from wherry.service.domain.records import StageEntry
from wherry.service.domain.run import Run, RunError, StageRecord
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import RunId
from wherry.service.domain.waiting import WaitingStages
from wherry.service.ports.clock import Clock
from wherry.service.ports.logs import LogStore, LogStream, NewLine
from wherry.service.ports.runs import RunStore
from wherry.service.usecases.patience import until_kept

_COMPUTED_ELSEWHERE = frozenset({CacheUse.HIT, CacheUse.MERGED})


class RunProgress:
    """The stages of one run. Every change is kept in the run store before anybody is told.

    Changes that come while others are being written are written together: a pipeline of known results costs a
    few transactions, not one for each stage.
    """

    def __init__(
        self,
        *,
        run_id: RunId,
        runs: RunStore,
        clock: Clock,
        stages: Mapping[StageName, StageRecord],
        address_of: Callable[[StageName], str],
        logs: LogStore,
    ) -> None:
        """Begin with the records of a run, which may have come some way in an earlier life of the service.

        Messages call stages by their address where the run was asked for.
        """
        self._address_of = address_of
        self._clock = clock
        self._run_id = run_id
        self._runs = runs
        self._stages = dict(stages)
        self.entries: dict[StageName, StageEntry] = {}
        """What the stages that succeeded stand for in dvc.lock."""
        self.renewed: set[StageName] = set()
        """Stages that were not up to date, or were forced: `--force-downstream` goes on from them."""
        self.restoring: dict[StageName, int] = {}
        """Stages that run again because their outputs went from the store, and how often."""
        self._former: dict[StageName, StageEntry] = {}
        self._failed = [name for name, stage in stages.items() if stage.state in {State.FAILED, State.LOST}]
        self._waiting: WaitingStages | None = None
        self._unsaved: list[StageRecord] = []
        self._logs = logs
        self._unwritten: list[NewLine] = []
        self._writing: asyncio.Task[None] | None = None

    @property
    def stages(self) -> Mapping[StageName, StageRecord]:
        """Records by name, in topological order."""
        return self._stages

    @property
    def compute_s(self) -> float:
        """Seconds that commands ran in this run."""
        return sum(
            stage.wall_s or 0.0 for stage in self._stages.values() if stage.cache not in _COMPUTED_ELSEWHERE
        )

    @property
    def saved_s(self) -> float:
        """Seconds that known results, and those of others, saved."""
        return sum(
            stage.wall_s or 0.0 for stage in self._stages.values() if stage.cache in _COMPUTED_ELSEWHERE
        )

    def note(self, record: StageRecord, *, said: str = "") -> None:
        """Keep a stage's new state soon, without waiting for it. It carries the time at which it came about.

        What is `said` of it is a line of the stage's output, which is kept before the state is.
        """
        known = self._stages[record.name]
        is_new = known.since is None or (known.state, known.phase) != (record.state, record.phase)
        now = self._clock.now()
        record = replace(record, since=now if is_new else known.since)
        if said:
            self._unwritten.append(
                NewLine(time=now, stage=record.name, stream=LogStream.SYSTEM, text=said.encode())
            )
        self._stages[record.name] = record
        if self._waiting is not None:
            self._waiting.note(record.name, has_succeeded=record.state == State.SUCCEEDED)
        if record.state in {State.FAILED, State.LOST}:
            self._failed.append(record.name)
        self._unsaved.append(record)
        self._write_soon()

    def note_known(self, known: Sequence[tuple[StageRecord, str]]) -> None:
        """Keep soon that known results stand for stages which nothing has happened to before, each with what is said of it.

        The records carry the time.
        """
        for record, said in known:
            self._stages[record.name] = record
            if self._waiting is not None:
                self._waiting.note(record.name, has_succeeded=True)
            self._unwritten.append(
                NewLine(
                    time=record.since or self._clock.now(),
                    stage=record.name,
                    stream=LogStream.SYSTEM,
                    text=said.encode(),
                )
            )
            self._unsaved.append(record)
        self._write_soon()

    async def save(self, record: StageRecord) -> None:
        """Keep a stage's new state; it is kept when this returns."""
        self.note(record)
        await self.settle()

    def put_back(self, stage: Stage) -> None:
        """Let a stage wait once more, as if it had not gone yet."""
        if stage.name in self.entries:
            self._former[stage.name] = self.entries.pop(stage.name)
        self.note(StageRecord(name=stage.name, attempt=self._stages[stage.name].attempt))

    def has_other_outputs(self, stage: Stage) -> bool:
        """Whether it succeeded once before in this run, with other content than now."""
        former = self._former.pop(stage.name, None)
        return former is not None and former.outs != self.entries[stage.name].outs

    async def settle(self) -> None:
        """Return when all that was noted is kept."""
        if self._writing is not None:
            # Shielded: whoever waits may be cancelled, what was noted is written all the same.
            await asyncio.shield(self._writing)

    def _write_soon(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._unsaved:
            batch, self._unsaved = self._unsaved, []
            lines, self._unwritten = self._unwritten, []
            if lines:
                # The states say the same: they must not be lost with the notes, nor wait for them.
                with contextlib.suppress(Unavailable):
                    await self._logs.append(self._run_id, lines)
            await until_kept(partial(self._runs.save_stages, self._run_id, batch), self._clock)

    def let_wait(self, stages: Iterable[Stage], pipeline: Pipeline) -> WaitingStages:
        """Let stages wait for their producers; how those end is followed from here on."""
        self._waiting = WaitingStages(
            pipeline,
            self._stages,
            waiting=stages,
            has_succeeded=lambda name: self._stages[name].state == State.SUCCEEDED,
        )
        return self._waiting

    def take_ready(self, waiting: WaitingStages, options: RunOptions) -> list[Stage]:
        """Take those out of `waiting` whose producers have all succeeded."""
        return [] if self._failed and not options.keep_going else waiting.take_ready()

    async def skip_rest(self, waiting: Iterable[Stage], pipeline: Pipeline) -> None:
        """Record those that never started, and why."""
        culprits: dict[StageName, StageName] = {}
        for stage in waiting:
            culprit = self._culprit(stage, pipeline, culprits)
            if culprit:
                culprits[stage.name] = culprit
            reason = (
                f"{self._address_of(culprit)} did not succeed"
                if culprit
                else f"{self._address_of(self._failed[0])} failed before it was started"
            )
            self.note(replace(self._stages[stage.name], state=State.SKIPPED, reason=reason))
        await self.settle()

    async def stop_rest(self, state: State, reason: str) -> None:
        """Record all that have not ended as stopped: cancelled or lost."""
        rest = [
            replace(stage, state=state, phase=None, reason=reason)
            for stage in self._stages.values()
            if not stage.state.is_final
        ]
        for stage in rest:
            self.note(stage)
        await self.settle()

    def error(self, run: Run) -> RunError | None:
        """Which stage kept the run from succeeding; None when none did."""
        if not self._failed:
            return None
        first = self._stages[self._failed[0]]
        address = self._address_of(first.name)
        more = f" ({len(self._failed) - 1} more failed)" if len(self._failed) > 1 else ""
        return RunError(
            reason="STAGE_FAILED" if first.state == State.FAILED else "STAGE_LOST",
            message=f"stage {address!r} {_verb(first)}{more}",
            hint=f"Its output: wherry logs {run.id} {address}",
        )

    def _culprit(
        self, stage: Stage, pipeline: Pipeline, known: Mapping[StageName, StageName]
    ) -> StageName | None:
        """What a stage waited for in vain: of one that waited itself, what that one waited for."""
        unfinished = None
        for name in active_upstream(pipeline, stage.name):
            if name not in self._stages or self._stages[name].state == State.SUCCEEDED:
                continue
            if name in known or self._stages[name].state not in {State.QUEUED, State.SKIPPED}:
                return known.get(name, name)
            unfinished = unfinished or name
        return unfinished


def _verb(stage: StageRecord) -> str:
    return f"was lost: {stage.reason}" if stage.state == State.LOST else stage.reason
