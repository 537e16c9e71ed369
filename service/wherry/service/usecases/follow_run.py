"""Follow a run: its events and its output, first what was, then what comes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass

from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import StageUnknown
from wherry.service.domain.run import Event, Run, StageRecord
from wherry.service.domain.states import CacheUse
from wherry.service.ports.logs import LogLine, LogStore
from wherry.service.ports.runs import RunStore
from wherry.service.usecases.replay_log import ReplayLog

_PAGE = 500

# How long one wait lasts before the state is looked at again. News wake it at once; this only bounds
# how long a follower lives on after its caller has gone.
_WAIT_S = 20.0

# How long a follower is served at most: what is left of those that have gone without a word ends some time.
STREAM_S_MAX = 3600.0

# What comes within so short a time of the last look is told in one go: nobody sees the delay, and a run of known
# results is not read back event by event. After a longer silence news are told at once.
_TOGETHER_S = 0.01

# With many followers longer, for each of them so much: what is told to a thousand is told twice a second, so that the
# service has time for the stages too.
_TOGETHER_S_EACH = 0.0005
_TOGETHER_S_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines of output, in order."""

    lines: Sequence[LogLine]
    is_last: bool = False
    """Whether nothing comes after these."""


class FollowRun:
    """Yields events and lines in order, without gap, from any sequence number on."""

    def __init__(self, *, runs: RunStore, logs: LogStore, replay: ReplayLog) -> None:
        """Follow what `runs` and `logs` keep; what wrote a known result is had from `replay`."""
        self._runs = runs
        self._logs = logs
        self._replay = replay
        self._followers = 0

    async def events(
        self, run: str, *, after: int, wait_s: float | None = None
    ) -> AsyncIterator[Sequence[Event]]:
        """Events after a sequence number, some at a time, until the run has ended and all were given, or for `wait_s` seconds.

        No stream lasts longer than an hour: it is to be resumed.

        Raises:
            RunUnknown: if there is no such run.
        """
        life, patience = _Life(self._runs, await self._runs.get(run), after), _Patience(wait_s)
        with self._following():
            while True:
                has_ended = life.ended
                events = await life.news()
                if events:
                    yield events
                else:
                    if has_ended or patience.is_over:
                        return
                    await life.wait(patience.left_s)
                    await self._let_gather(life)

    async def lines(
        self, run: str, *, stage: str | None, after: int, follow: bool, wait_s: float | None = None
    ) -> AsyncIterator[Page]:
        """Lines after a sequence number; with `follow` until the run has ended, or for `wait_s` seconds.

        Of a single stage whose result was known, the lines of the run that computed it come after its own; then
        nothing is waited for. Of a run whose log was cleared away come the lines that are kept with its results.
        The last page says that it is the last; without one there may be more: no stream lasts longer than an hour.

        Raises:
            RunUnknown: if there is no such run.
            StageUnknown: if it has no such stage.
        """
        found = await self._runs.get(run)
        if stage is not None:
            _expect_stage(found, stage)
        life, patience = _Life(self._runs, found, 0), _Patience(wait_s)
        with self._following():
            while True:
                # In this order: lines written before the end are there once the end is seen.
                while await life.news():
                    pass
                has_ended, record = life.ended, life.stages.get(StageName(stage or ""))
                newest = await self._logs.last_sequence(found.id)
                lines = await self._logs.read_after(found.id, after, stage=stage, limit=_PAGE)
                if lines:
                    yield Page(lines)
                if len(lines) == _PAGE:
                    after = lines[-1].sequence
                    continue
                is_cleared = has_ended and not newest and await self._logs.was_cleared(found.id)
                archived = self._archived(life, record, stage=stage, is_cleared=is_cleared, after=after)
                if archived is not None:
                    async for lines in archived:
                        yield Page(lines)
                    break
                after = max(after, newest, lines[-1].sequence if lines else 0)
                if has_ended or not follow:
                    break
                if patience.is_over:
                    return
                left_s = patience.left_s
                await _first_of(self._logs.wait_for_lines(found.id, after, left_s), life.wait(left_s))
                await self._let_gather(life)
        yield Page((), is_last=True)

    def _archived(
        self, life: "_Life", record: StageRecord | None, *, stage: str | None, is_cleared: bool, after: int
    ) -> AsyncIterator[Sequence[LogLine]] | None:
        """What is kept elsewhere and comes after the run's own lines; None when nothing does, or not yet."""
        if record is not None and record.cache is CacheUse.HIT and record.state.is_final:
            return self._replay(life.run_id, record, after=after)
        if is_cleared:
            return self._replay.cleared(list(life.stages.values()), stage=stage, after=after)
        return None

    @contextlib.contextmanager
    def _following(self) -> Iterator[None]:
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1

    async def _let_gather(self, life: "_Life") -> None:
        """Return not too soon after the last look: what comes together is told together."""
        gather_s = min(max(_TOGETHER_S, self._followers * _TOGETHER_S_EACH), _TOGETHER_S_MAX)
        await asyncio.sleep(max(0.0, life.looked_at + gather_s - asyncio.get_running_loop().time()))


class _Patience:
    """How long a follower is served before it has to ask again."""

    def __init__(self, wait_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + min(wait_s or STREAM_S_MAX, STREAM_S_MAX)

    @property
    def is_over(self) -> bool:
        return self._loop.time() >= self._until

    @property
    def left_s(self) -> float:
        """How long the next wait may last."""
        return min(_WAIT_S, max(0.0, self._until - self._loop.time()))


class _Life:
    """A run's events, read on, and whether it has ended."""

    def __init__(self, runs: RunStore, run: Run, after: int) -> None:
        self._runs = runs
        self.run_id = run.id
        self._after = after
        self._loop = asyncio.get_running_loop()
        self.looked_at = 0.0
        """When news were last asked for, by the loop's clock."""
        self.ended = run.state.is_final
        self.stages = dict(run.stages)

    async def news(self) -> Sequence[Event]:
        """The next events, none when there are no more now."""
        self.looked_at = self._loop.time()
        events = await self._runs.events_after(self.run_id, self._after, _PAGE)
        if events:
            self._after = events[-1].sequence
        for event in events:
            if isinstance(event.about, Run):
                self.ended |= event.about.state.is_final
            else:
                self.stages[event.about.name] = event.about
        return events

    async def wait(self, at_most_s: float) -> None:
        """Return when there may be news."""
        await self._runs.wait_for_events(self.run_id, self._after, at_most_s)


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
