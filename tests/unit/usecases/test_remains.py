"""What a success leaves is removed while its run goes on, and is gone when the run has ended."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.unit.usecases.driving import House, drive, fail, succeed
from tests.unit.usecases.leases_world import MemoryLog, Observer, task_of
from wherry.service.domain.run import Run
from wherry.service.domain.states import State
from wherry.service.domain.task import AttemptId, Failed, Outcome, StageTask, Succeeded
from wherry.service.ports.containers import ContainerId
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.remains import Remains
from wherry.service.usecases.tidying_runner import TidyingStageRunner

CHAIN = {
    "dvc.yaml": "stages:\n  one: {cmd: make one, deps: [a], outs: [b]}\n  two: {cmd: make two, deps: [b], outs: [c]}\n",
    "a": "1",
}


class SlowEngine:
    """Removes nothing until it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.begun = asyncio.Event()
        self.removed: list[str] = []

    async def end_group(self, group: str) -> None:
        pass

    async def remove(self, container: ContainerId) -> None:
        self.begun.set()
        await self.let.wait()
        self.removed.append(container)


class Leaving(StageRunner):
    """Leaves a container and ends as it is told."""

    def __init__(self, remains: Remains, work: Callable[[StageTask], Awaitable[Outcome]]) -> None:
        self._remains, self._work = remains, work

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        await observer.began(attempt)
        self._remains.add_container(attempt, ContainerId(f"c{attempt}"))
        return await self._work(task)


def remains_of(engine: SlowEngine) -> Remains:
    untyped: Any = engine
    workspaces: Any = None
    return Remains(engine=untyped, workspaces=workspaces, clock=FakeClock(), log=FakeEventLog())


def run_one(
    remains: Remains, name: str, work: Callable[[StageTask], Awaitable[Outcome]]
) -> Awaitable[Outcome]:
    task = task_of(1, 1)
    runner = TidyingStageRunner(Leaving(remains, work), remains)
    return runner.run(task, AttemptId(name), Observer(task, MemoryLog(), FakeClock()))


def test_the_next_stage_runs_while_the_container_before_is_removed_and_the_end_waits(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        engine = SlowEngine()
        remains = remains_of(engine)
        house.cleared = remains.cleared
        house.runner_for = lambda *_: TidyingStageRunner(Leaving(remains, succeed), remains)
        run = await house.start(CHAIN)
        ended = asyncio.ensure_future(house.end_of(run))
        async with asyncio.timeout(60):
            await house.until(run, both_done)
        assert not ended.done()
        assert engine.removed == []
        engine.let.set()
        assert (await ended).state == State.SUCCEEDED
        assert len(engine.removed) == 2
        assert remains.attempts == set()

    drive(tmp_path, {}, check)


def both_done(run: Run) -> bool:
    return all(stage.state == State.SUCCEEDED for stage in run.stages.values())


def test_what_a_failure_leaves_is_gone_before_anything_else_happens() -> None:
    async def check() -> None:
        engine = SlowEngine()
        remains = remains_of(engine)
        running = asyncio.ensure_future(run_one(remains, "first", fail))
        await engine.begun.wait()
        assert not running.done()
        engine.let.set()
        assert isinstance(await running, Failed)
        assert engine.removed == ["cfirst"]

    asyncio.run(check())


def test_an_engine_that_removes_slowly_is_not_left_behind_without_bound() -> None:
    async def check() -> None:
        engine = SlowEngine()
        remains = remains_of(engine)
        running = [asyncio.ensure_future(run_one(remains, str(number), succeed)) for number in range(40)]
        for _ in range(1000):  # rounds of the loop: more than enough for all that can go on
            await asyncio.sleep(0)
        gone_on = sum(one.done() for one in running)
        assert 0 < gone_on < 40
        engine.let.set()
        assert all(isinstance(one, Succeeded) for one in await asyncio.gather(*running))
        await remains.cleared(task_of(1, 1).run_id)
        assert len(engine.removed) == 40

    asyncio.run(check())
