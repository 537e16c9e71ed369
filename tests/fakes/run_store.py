"""Runs in dictionaries."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

from wherry.service.adapters.names import make_up_name
from wherry.service.adapters.wakeups import Wakeups
from wherry.service.domain.errors import InvalidInput, RunUnknown, StageUnknown
from wherry.service.domain.run import Event, NewRun, Run, StageRecord
from wherry.service.domain.states import State
from wherry.service.domain.task import RunId
from wherry.service.ports.runs import RunStore


class FakeRunStore(RunStore):
    """`runs` (oldest first) and `events` may be looked at by tests."""

    def __init__(self) -> None:
        self.runs: dict[RunId, Run] = {}
        self.events: dict[RunId, list[Event]] = {}
        self._submissions: dict[tuple[str, str], RunId] = {}
        self._chance = Random(0)
        self._wakeups = Wakeups()

    async def create(self, new: NewRun) -> tuple[Run, bool]:
        submission = (new.user, new.idempotency_key)
        if submission in self._submissions:
            return self.runs[self._submissions[submission]], False
        taken = {run.name for run in self.runs.values() if run.project == new.project}
        run = Run(
            id=RunId(str(len(self.runs) + 1)),
            name=new.name or make_up_name(self._chance, taken.__contains__),
            project=new.project,
            user=new.user,
            rev=new.rev,
            dirty=new.dirty,
            message=new.message,
            state=State.QUEUED,
            created_at=new.created_at,
            stages={name: StageRecord(name=name) for name in new.stages},
            snapshot=new.snapshot,
            labels=new.labels,
            priority=new.priority,
        )
        self.runs[run.id] = run
        self.events[run.id] = []
        self._submissions[submission] = run.id
        return run, True

    async def get(self, run: str) -> Run:
        if run.isdecimal():
            return self._known(RunId(run))
        for candidate in reversed(self.runs.values()):
            if candidate.name == run:
                return candidate
        raise RunUnknown(f"there is no run {run!r}")

    async def list_page(
        self, *, project: str | None, active_only: bool, before: RunId | None, limit: int
    ) -> Sequence[Run]:
        if before is not None and not before.isdecimal():
            raise InvalidInput(f"{before!r} is not the id of a run")
        page = [
            replace(run, stages={})
            for run in reversed(self.runs.values())
            if (project is None or run.project == project)
            and not (active_only and run.state.is_final)
            and (before is None or int(run.id) < int(before))
        ]
        return page[:limit]

    async def save_run(self, run: Run) -> None:
        known = self._known(run.id)
        if known.state.is_final:
            return
        self.runs[run.id] = replace(run, stages=known.stages, stop_requested=known.stop_requested)
        self._append(run.id, [replace(run, stages={})])

    async def request_stop(self, run_id: RunId) -> None:
        self.runs[run_id] = replace(self._known(run_id), stop_requested=True)

    async def save_stages(self, run_id: RunId, stages: Sequence[StageRecord]) -> None:
        if not stages:
            return
        known = self._known(run_id)
        unknown = sorted({stage.name for stage in stages} - known.stages.keys())
        if unknown:
            raise StageUnknown(f"run {run_id} has no stage {', '.join(unknown)}")
        changed = {stage.name: stage for stage in stages}
        self.runs[run_id] = replace(known, stages={**known.stages, **changed})
        self._append(run_id, stages)

    async def events_after(self, run_id: RunId, sequence: int, limit: int) -> Sequence[Event]:
        return [event for event in self.events.get(run_id, []) if event.sequence > sequence][:limit]

    async def wait_for_events(self, run_id: RunId, sequence: int, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        with self._wakeups.listen(run_id) as listener:
            while len(self.events.get(run_id, [])) <= sequence and loop.time() < deadline:
                try:
                    await asyncio.wait_for(listener.wait(), deadline - loop.time())
                except TimeoutError:
                    return
                listener.clear()

    async def list_stopping(self) -> Sequence[RunId]:
        return [run.id for run in await self.list_active() if run.stop_requested]

    async def list_active(self) -> Sequence[Run]:
        return [run for run in self.runs.values() if not run.state.is_final]

    def _known(self, run_id: RunId) -> Run:
        if run_id not in self.runs:
            raise RunUnknown(f"there is no run {run_id!r}")
        return self.runs[run_id]

    def _append(self, run_id: RunId, changed: Iterable[Run | StageRecord]) -> None:
        events = self.events[run_id]
        for about in changed:
            events.append(Event(sequence=len(events) + 1, about=about))
        self._wakeups.wake(run_id)
