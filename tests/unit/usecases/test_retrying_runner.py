"""A failed command runs again as often as its stage says, and what cannot start does not."""

import asyncio
from pathlib import Path

from tests.unit.usecases.driving import Counting, House, drive, fail, states, succeed
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import Run
from wherry.service.domain.states import State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import Failed, Outcome, StageTask
from wherry.service.ports.logs import LogStream
from wherry.service.usecases.retrying_runner import RetryingStageRunner

FLAKY = {
    "dvc.yaml": "stages:\n  top: {cmd: x, deps: [a], outs: [t], meta: {wherry: {retries: 2}}}\n",
    "a": "1",
}


async def run_flaky(house: House) -> Run:
    house.runner_for = lambda *_: RetryingStageRunner(house.runner, Counting())
    return await house.end_of(await house.start(FLAKY))


async def system_lines(house: House, run: Run) -> list[str]:
    lines = await house.logs.read_after(run.id, stage=None, sequence=0, limit=100)
    return [kept.line.text.decode() for kept in lines if kept.line.stream == LogStream.SYSTEM]


def test_a_success_after_failures_counts_and_every_attempt_is_told(tmp_path: Path) -> None:
    outcomes = [fail, fail, succeed]

    async def flaky(task: StageTask) -> Outcome:
        return await outcomes.pop(0)(task)

    async def check(house: House) -> None:
        run = await run_flaky(house)

        assert states(run) == {"top": State.SUCCEEDED}
        record = run.stages[StageName("top")]
        assert record.attempt == 3
        assert [(one.reason, one.exit_code, one.wall_s) for one in record.earlier] == [
            ("exited with 1", 1, 1.0)
        ] * 2
        assert await system_lines(house, run) == [
            "exited with 1: attempt 2 of 3 begins",
            "exited with 1: attempt 3 of 3 begins",
        ]

    drive(tmp_path, {"top": flaky}, check)


def test_after_the_last_attempt_the_stage_has_failed(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        run = await run_flaky(house)

        assert states(run) == {"top": State.FAILED}
        assert (run.stages[StageName("top")].attempt, len(house.runner.started)) == (3, 3)

    drive(tmp_path, {"top": fail}, check)


def test_what_could_not_be_started_is_not_tried_again(tmp_path: Path) -> None:
    async def refuse(_task: StageTask) -> Outcome:
        return Failed(reason="the image has no shell", exit_code=None, wall_s=None)

    async def check(house: House) -> None:
        await run_flaky(house)

        assert len(house.runner.started) == 1

    drive(tmp_path, {"top": refuse}, check)


def test_a_run_whose_time_is_up_has_failed_and_its_stages_are_stopped(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def hang(_task: StageTask) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    async def check(house: House) -> None:
        run = await house.end_of(await house.start(FLAKY, RunOptions(timeout_s=0.2)))

        assert stopped.is_set()
        assert run.state == State.FAILED
        assert run.error is not None
        assert (run.error.reason, run.error.message) == (
            "TIMEOUT",
            "the run was stopped after its timeout of 0.2 s",
        )
        assert states(run) == {"top": State.CANCELLED}

    drive(tmp_path, {"top": hang}, check)
