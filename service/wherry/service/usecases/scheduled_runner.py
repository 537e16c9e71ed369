"""A StageRunner that lets a stage run once the machine has what it asks for, and it is its turn."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace

from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.resources import Demand, Machine, demand_of, find_excess
from wherry.service.domain.run import Run
from wherry.service.domain.schedule import Grant, Request, Schedule
from wherry.service.domain.states import Phase, State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import AttemptId, Failed, Outcome, StageTask
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.passing_observer import PassingObserver
from wherry.service.usecases.rank_stages import RankStages
from wherry.service.usecases.read_project import Project


class Place:
    """A place that a stage holds."""

    def __init__(self, grant: Grant, leave: Callable[[], None]) -> None:
        self.grant = grant
        self._leave = leave

    def leave(self) -> None:
        """Let others have it before the stage is done, if not too many have left theirs so already."""
        self._leave()


class Places:
    """The places of one machine, for the stages of all runs."""

    def __init__(self, machine: Machine, *, at_once: int) -> None:
        """Let at most `at_once` stages share the machine."""
        self.machine = machine
        self._schedule = Schedule(machine, places=at_once)
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Grant]] = {}
        self._will_grant = False
        # What a stage has written takes disk until it is kept: as many may do that as have a place, beside those.
        self._leaving_max = at_once
        self._left: set[int] = set()

    @contextlib.asynccontextmanager
    async def hold(
        self,
        demand: Demand,
        *,
        run: Run,
        title: str,
        options: RunOptions,
        path_s: float,
        begun_with: tuple[int, ...] | None = None,
        when_waiting: Callable[[str], Awaitable[None]],
    ) -> AsyncIterator[Place]:
        """Wait for a place and hold it, to the end or until it is left. `when_waiting` is told once what the stage lacks, if it lacks something.

        A stage that runs already, on the GPUs `begun_with`, holds its place at once.
        """
        number = next(self._numbers)
        granted = asyncio.get_running_loop().create_future()
        request = Request(
            number=number,
            user=run.user,
            run=run.id,
            title=title,
            demand=demand,
            priority=options.priority,
            run_places=options.jobs,
            path_s=path_s,
        )
        if begun_with is None:
            self._waiting[number] = granted
            self._schedule.add(request)
            self._grant_soon()
        else:
            granted.set_result(Grant(number, begun_with))
            self._schedule.occupy(request, begun_with)
        try:
            # Stages that become ready together are ranked together, in the next round of the loop.
            await asyncio.sleep(0)
            if not granted.done() and not demand.is_plain and (reason := self._schedule.why_waiting(number)):
                await when_waiting(reason)
            yield Place(await granted, lambda: self._leave(number))
        finally:
            self._waiting.pop(number, None)
            if number in self._left:
                self._left.discard(number)
            else:
                self._give_back(number)

    def _leave(self, number: int) -> None:
        if number not in self._left and len(self._left) < self._leaving_max:
            self._left.add(number)
            self._give_back(number)

    def _give_back(self, number: int) -> None:
        self._schedule.remove(number)
        self._grant_soon()

    def _grant_soon(self) -> None:
        if not self._will_grant:
            self._will_grant = True
            asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> None:
        self._will_grant = False
        for grant in self._schedule.grant():
            waiting = self._waiting.pop(grant.number)
            # One that was cancelled in this very moment gives its place back at once.
            if not waiting.done():
                waiting.set_result(grant)


class ScheduledStageRunner(StageRunner):
    """Makes the stages of one run wait for their places. Known results need none: caching is outside.

    A stage whose command has ended well leaves its place to the next while its outputs are collected and kept, unless it
    is to be tried again should those be of no use.
    """

    def __init__(
        self,
        inner: StageRunner,
        *,
        places: Places,
        rank: RankStages,
        run: Run,
        project: Project,
        options: RunOptions,
        begun_with: Callable[[StageTask], tuple[int, ...] | None] = lambda _: None,
    ) -> None:
        """Let the stages of `run` through to `inner` as they get one of `places`; `rank` says which are urgent.

        `begun_with` has the GPUs of a stage that an earlier life of the service has started; None: it has not.
        """
        self._begun_with = begun_with
        self._inner = inner
        self._places = places
        self._rank = rank
        self._run = run
        self._project = project
        self._options = options
        self._ranks: asyncio.Task[Mapping[StageName, float]] | None = None

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Wait for a place, then run."""
        machine, begun_with = self._places.machine, self._begun_with(task)
        excess = find_excess(task.settings, machine)
        if excess is not None and begun_with is None:
            # Refused when it was submitted, unless the machine had more then.
            return Failed(reason=excess, exit_code=None, wall_s=None)
        name = task.stage.name
        async with self._places.hold(
            demand_of(task.settings, machine),
            run=self._run,
            title=f"{name} of run {self._run.id}",
            options=self._options,
            path_s=(await self._path_seconds()).get(name, 0.0),
            begun_with=begun_with,
            when_waiting=observer.waits,
        ) as place:
            if not task.settings.retries:
                observer = _Leaving(observer, place)
            return await self._inner.run(replace(task, gpus=place.grant.gpus), attempt, observer)

    async def _path_seconds(self) -> Mapping[StageName, float]:
        """Asked for when the first stage has to run: a run of known results is never ranked."""
        if self._ranks is None:
            self._ranks = asyncio.create_task(self._rank(self._project))
        # Shielded: other stages wait for it too.
        return await asyncio.shield(self._ranks)


class _Leaving(PassingObserver):
    """Passes on, and leaves the place when nothing runs any more."""

    def __init__(self, inner: StageObserver, place: Place) -> None:
        super().__init__(inner)
        self._place = place

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        if phase is Phase.COLLECTING:
            self._place.leave()
        await super().entered(state, phase)
