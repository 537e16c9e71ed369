"""Thousands of ways in which submissions, cancellations, crashes, silence and restarts can follow each other."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.usecases.leases_world import FAILURE, World
from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import Failed, Succeeded

SERVICES = ("north", "south")
_service = st.sampled_from(SERVICES)
_number = st.integers(min_value=0, max_value=1_000)


class Leases(RuleBasedStateMachine):
    """Services of one database, and people who submit the same few stages to them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.world = self.loop.run_until_complete(self._begin())

    async def _begin(self) -> World:
        return World(self.folder, SERVICES)

    def _do(self) -> None:
        self.loop.run_until_complete(self.world.settle())

    @rule(owner=_service, key=st.integers(0, 1), use_cache=st.sampled_from([True, True, True, False]))
    def submit(self, owner: str, key: int, use_cache: bool) -> None:
        async def submit() -> None:
            self.world.submit(owner, key, use_cache=use_cache)

        self.loop.run_until_complete(submit())
        self._do()

    @precondition(lambda self: self.world.awaited)
    @rule(number=_number)
    def cancel(self, number: int) -> None:
        submission = self.world.awaited[number % len(self.world.awaited)]
        submission.was_cancelled = True
        submission.waiting.cancel()
        self._do()

    @precondition(lambda self: self.world.endable)
    @rule(number=_number, how=st.sampled_from(["succeed", "succeed", "fail"]))
    def end(self, number: int, how: str) -> None:
        execution = self.world.endable[number % len(self.world.endable)]
        if how == "fail":
            self.world.failed.add(execution.task.key)
            execution.end.set_result(FAILURE)
        else:
            execution.succeed()
        self._do()

    @rule(seconds=st.sampled_from([3, 20, 45]))
    def time_passes(self, seconds: int) -> None:
        self.loop.run_until_complete(self.world.pass_time(seconds))

    @rule(owner=_service)
    def fall_silent(self, owner: str) -> None:
        life = self.world.lives[owner]
        life.was_silent = True
        life.is_heard.clear()

    @rule(owner=_service)
    def be_heard_again(self, owner: str) -> None:
        self.world.lives[owner].is_heard.set()
        self._do()

    @rule(owner=_service)
    def be_killed_and_started_again(self, owner: str) -> None:
        self.loop.run_until_complete(self._restart(owner))

    async def _restart(self, owner: str) -> None:
        self.world.restart(owner)
        await self.world.settle()

    @invariant()
    def nobody_is_told_what_did_not_happen(self) -> None:
        for submission in self.world.submissions:
            waiting = submission.waiting
            if not waiting.done() or submission.life.is_dead or waiting.cancelled():
                continue
            outcome = waiting.result()  # raises what would have been a bug
            if isinstance(outcome, Failed):
                assert submission.task.key in self.world.failed
            else:
                assert isinstance(outcome, Succeeded)
                assert submission.task.use_cache or outcome.cache is CacheUse.BYPASS

    def teardown(self) -> None:
        try:
            self.loop.run_until_complete(self._nobody_waits_for_ever())
        finally:
            self.loop.run_until_complete(self.world.close())
            self.loop.close()
            shutil.rmtree(self.folder)

    async def _nobody_waits_for_ever(self) -> None:
        for life in self.world.lives.values():
            life.is_heard.set()
        for _ in range(20):
            await self.world.pass_time(35)
            for execution in self.world.endable:
                execution.succeed()
            await self.world.settle()
            if not self.world.awaited:
                break
        assert self.world.awaited == []
        for submission in self.world.submissions:
            if submission.was_cancelled and not submission.life.is_dead:
                assert submission.waiting.done()
        assert [one for one in self.world.running if not one.life.is_dead] == []


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
