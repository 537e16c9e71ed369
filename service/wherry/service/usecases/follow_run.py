"""Follow a run: its events and its output, first what was, then what comes."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence

from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import StageUnknown
from wherry.service.domain.run import Event, Run
from wherry.service.ports.logs import LogLine, LogStore
from wherry.service.ports.runs import RunStore

_PAGE = 500

# How long one wait lasts before the state is looked at again. News wake it at once; this only bounds
# how long a follower lives on after its caller has gone.
_WAIT_S = 20.0

# News within so short a time are told in one go: nobody sees the delay, and a run of known results is not
# read back event by event.
_TOGETHER_S = 0.01


class FollowRun:
    """Yields events and lines in order, without gap, from any sequence number on."""

    def __init__(self, *, runs: RunStore, logs: LogStore) -> None:
        """Follow what `runs` and `logs` keep."""
        self._runs = runs
        self._logs = logs

    async def events(self, run: str, *, after: int) -> AsyncIterator[Event]:
        """Events after a sequence number, until the run has ended and all were given.

        Raises:
            RunUnknown: if there is no such run.
        """
        life = _Life(self._runs, await self._runs.get(run), after)
        while True:
            has_ended = life.ended
            events = await life.news()
            for event in events:
                yield event
            if not events:
                if has_ended:
                    return
                await life.wait()

    async def lines(
        self, run: str, *, stage: str | None, after: int, follow: bool
    ) -> AsyncIterator[Sequence[LogLine]]:
        """Lines after a sequence number; with `follow` until the run has ended and all were given.

        Raises:
            RunUnknown: if there is no such run.
            StageUnknown: if it has no such stage.
        """
        found = await self._runs.get(run)
        if stage is not None:
            _expect_stage(found, stage)
        life = _Life(self._runs, found, 0)
        while True:
            # In this order: lines written before the end are there once the end is seen.
            while await life.news():
                pass
            has_ended = life.ended
            newest = await self._logs.last_sequence(found.id)
            lines = await self._logs.read_after(found.id, after, stage=stage, limit=_PAGE)
            if lines:
                yield lines
            if len(lines) == _PAGE:
                after = lines[-1].sequence
                continue
            after = max(after, newest, lines[-1].sequence if lines else 0)
            if has_ended or not follow:
                return
            await _first_of(self._logs.wait_for_lines(found.id, after, _WAIT_S), life.wait())


class _Life:
    """A run's events, read on, and whether it has ended."""

    def __init__(self, runs: RunStore, run: Run, after: int) -> None:
        self._runs = runs
        self._run_id = run.id
        self._after = after
        self.ended = run.state.is_final

    async def news(self) -> Sequence[Event]:
        """The next events, none when there are no more now."""
        events = await self._runs.events_after(self._run_id, self._after, _PAGE)
        if events:
            self._after = events[-1].sequence
        self.ended |= any(isinstance(event.about, Run) and event.about.state.is_final for event in events)
        return events

    async def wait(self) -> None:
        """Return when there may be news; a moment later, so that what comes together is told together."""
        await self._runs.wait_for_events(self._run_id, self._after, _WAIT_S)
        await asyncio.sleep(_TOGETHER_S)


async def _first_of(*calls: Coroutine[None, None, None]) -> None:
    """Wait until one of the calls returns; stop the others."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _expect_stage(run: Run, stage: str) -> None:
    if StageName(stage) not in run.stages:
        raise StageUnknown(
            f"run {run.id} has no stage {stage!r}", hint=f"It has: {', '.join(list(run.stages)[:20])}."
        )
