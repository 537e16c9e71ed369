"""Parts that are away for a while cost time, not stages."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.unit.usecases.driving import ONLY_TOP, House, drive, fail, succeed
from tests.unit.usecases.leases_world import Counter, MemoryLog, Observer, task_of
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import DiskFull, EngineUnavailable, Unavailable
from wherry.service.domain.states import State
from wherry.service.domain.task import AttemptId, Lost, Outcome, StageTask
from wherry.service.ports.containers import ContainerId
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.patience import AGAIN_S, patiently
from wherry.service.usecases.patient_runner import PatientStageRunner
from wherry.service.usecases.remains import Remains

_T = TypeVar("_T")


class Engine:
    """Only removes, when it is there."""

    def __init__(self) -> None:
        self.is_away = False
        self.removed: list[str] = []

    async def end_group(self, group: str) -> None:
        pass

    async def remove(self, container: ContainerId) -> None:
        if self.is_away:
            raise EngineUnavailable("the engine is away")
        self.removed.append(container)


class Inner(StageRunner):
    """Leaves a container each time, and ends as it is told."""

    def __init__(self, remains: Remains, outcomes: list[Outcome]) -> None:
        self.remains, self.outcomes = remains, outcomes
        self.attempts: list[AttemptId] = []

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        self.attempts.append(attempt)
        self.remains.add_container(attempt, ContainerId(f"c{attempt}"))
        await self.remains.clear(attempt)
        return self.outcomes.pop(0)


async def pass_all_waits(clock: FakeClock, call: Coroutine[Any, Any, _T]) -> _T:
    running = asyncio.ensure_future(call)
    for _ in range(200):
        await asyncio.sleep(0)
        if running.done():
            break
        clock.advance(5)
    return await running


def run_with(outcomes: list[Outcome], *, engine: Engine) -> tuple[Outcome, Inner, list[bytes]]:
    async def main() -> tuple[Outcome, Inner, list[bytes]]:
        clock, logs = FakeClock(), MemoryLog()
        untyped: Any = engine
        workspaces: Any = None
        remains = Remains(engine=untyped, workspaces=workspaces, clock=clock, log=FakeEventLog())
        inner = Inner(remains, outcomes)
        runner = PatientStageRunner(inner, remains=remains, clock=clock, identities=Counter())
        task = task_of(1, 1)
        outcome = await pass_all_waits(
            clock, runner.run(task, AttemptId("first"), Observer(task, logs, clock))
        )
        return outcome, inner, [line.text for line in logs.lines.get(task.run_id, [])]

    return asyncio.run(main())


def test_what_the_infrastructure_did_is_tried_again_and_told() -> None:
    done = asyncio.run(succeed(task_of(1, 1)))
    outcome, inner, told = run_with([Lost(reason="S3 is away", may_pass=True), done], engine=Engine())

    assert outcome == done
    assert inner.attempts == ["first", "1"]
    assert told == [b"S3 is away; it is tried again"]


def test_a_fault_that_stays_is_told_in_the_end() -> None:
    away = Lost(reason="S3 is away", may_pass=True)
    outcome, inner, _ = run_with([away] * 100, engine=Engine())

    assert outcome == away
    assert len(inner.attempts) == len(AGAIN_S) + 1


def test_what_will_not_pass_and_what_the_stage_did_is_not_tried_again() -> None:
    for last in (Lost(reason="the disk is full"), asyncio.run(fail(task_of(1, 1)))):
        outcome, inner, _ = run_with([last], engine=Engine())
        assert (outcome, len(inner.attempts)) == (last, 1)


def test_nothing_runs_again_while_a_container_may_still_run() -> None:
    engine = Engine()
    engine.is_away = True
    outcome, inner, _ = run_with([Lost(reason="the engine is away", may_pass=True)], engine=engine)

    assert isinstance(outcome, Lost)
    assert inner.attempts == ["first"]
    assert engine.removed == []


def test_a_call_is_made_until_it_works_and_a_full_disk_is_told_at_once() -> None:
    async def main() -> None:
        clock, faults = FakeClock(), [Unavailable("locked"), Unavailable("locked")]

        async def call() -> str:
            if faults:
                raise faults.pop()
            return "kept"

        assert await pass_all_waits(clock, patiently(call, clock)) == "kept"
        faults.append(DiskFull("full"))
        try:
            await patiently(call, clock)
        except DiskFull:
            return
        raise AssertionError

    asyncio.run(main())


def test_a_database_that_is_locked_for_a_while_costs_no_run(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        save, faults = house.runs.save_stages, [Unavailable("locked")] * 3

        async def locked(*args: Any) -> None:
            if faults:
                raise faults.pop()
            await save(*args)

        untyped: Any = house.runs
        untyped.save_stages = locked
        run = await house.start(ONLY_TOP)
        async with asyncio.timeout(60):
            while faults:
                await asyncio.sleep(0.01)
                house.clock.advance(30)
        ended = await house.end_of(run)

        assert ended.stages[StageName("top")].state == State.SUCCEEDED
        assert house.log.problems == []

    drive(tmp_path, {}, check)
