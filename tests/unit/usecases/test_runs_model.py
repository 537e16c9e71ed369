"""Thousands of ways in which runs, stops, crashes, restarts and faults of everything around can follow each other."""

import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes.virtual_time import VirtualLoop
from tests.unit.usecases.runs_world import PIPELINES, World

SERVICES = ("north", "south")
_service = st.sampled_from(SERVICES)
_rarely = st.sampled_from([False, False, False, True])


class Runs(RuleBasedStateMachine):
    """Services of one database, and people who submit the same few pipelines to them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = VirtualLoop()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        async def begin() -> None:
            self.world = World(self.folder, SERVICES, seed)
            await self.world.begin()

        self._do(begin())

    @rule(
        owner=_service,
        pipeline=st.integers(0, len(PIPELINES) - 1),
        force=_rarely,
        keep_going=st.booleans(),
        jobs=st.integers(0, 1),
    )
    def submit(self, owner: str, **said: object) -> None:
        self._do(self.world.submit(owner, **said))

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.2, 1, 3, 10, 40, 100]))
    def time_passes(self, seconds: float) -> None:
        self._do(self.world.pass_time(seconds))

    @precondition(lambda self: any(person.run_id for person in self.world.people))
    @rule(number=st.integers(0, 100), owner=_service)
    def stop(self, number: int, owner: str) -> None:
        known = [person for person in self.world.people if person.run_id]
        self._do(self.world.stop(known[number % len(known)], owner))

    @rule(owner=_service)
    def be_killed(self, owner: str) -> None:
        async def kill() -> None:
            self.world.kill(owner)

        self._do(kill())

    @rule(owner=_service, calls=st.integers(1, 60))
    def be_killed_within(self, owner: str, calls: int) -> None:
        life = self.world.lives[owner]
        if life is not None:
            life.calls_left = calls

    @rule(owner=_service)
    def be_started(self, owner: str) -> None:
        if self.world.lives[owner] is None:
            self._do(self.world.start(owner))

    @rule(owner=_service)
    def be_stopped_and_started(self, owner: str) -> None:
        life = self.world.lives[owner]
        if (
            life is not None
            and not life.is_dead
            and life.calls_left is None
            and not self.world.sites[owner].down
        ):

            async def again() -> None:
                await life.leave()
                self.world.lives[owner] = None
                await self.world.start(owner)

            self._do(again())

    @rule(owner=_service, kind=st.sampled_from(["engine", "engine", "store", "database"]))
    def go_away(self, owner: str, kind: str) -> None:
        async def go() -> None:
            self.world.go_away(owner, kind)

        self._do(go())

    @rule(owner=_service, kind=st.sampled_from(["engine", "engine", "store", "database"]))
    def come_back(self, owner: str, kind: str) -> None:
        async def come() -> None:
            self.world.come_back(owner, kind)

        self._do(come())

    @rule(owner=_service)
    def lose_the_engine(self, owner: str) -> None:
        async def crash() -> None:
            self.world.sites[owner].engine.crash()

        self._do(crash())

    @rule(owner=_service, stage=st.sampled_from("abcde"))
    def fail_next(self, owner: str, stage: str) -> None:
        self.world.sites[owner].engine.failing.add(stage)

    @rule(owner=_service, seconds=st.sampled_from([0.3, 5.0, 45.0]))
    def take(self, owner: str, seconds: float) -> None:
        self.world.sites[owner].engine.seconds = seconds

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self._do(self.world.finish())
                self.world.check_end()
        finally:
            if hasattr(self, "world"):
                self._do(self.world.close())
            self.loop.close()
            shutil.rmtree(self.folder)


# In CI the same ways each time; by hand as many others as there is time for.
_BY_HAND = os.environ.get("MODEL_EXAMPLES")

TestRuns = Runs.TestCase
TestRuns.settings = settings(
    max_examples=int(_BY_HAND or 30),
    stateful_step_count=25,
    deadline=None,
    derandomize=_BY_HAND is None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
