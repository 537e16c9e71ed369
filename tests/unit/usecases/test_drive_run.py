"""Driving a run: order, parallelism, failure, stopping."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.usecases.driving import (
    DIAMOND,
    FILES,
    House,
    drive,
    fail,
    states,
    succeed,
)
from wherry.service.domain.blob import digest_content
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.states import State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import Outcome, StageTask


def test_a_stage_starts_after_all_that_it_stands_on_and_branches_run_side_by_side(tmp_path: Path) -> None:
    both_run = asyncio.Barrier(2)

    async def meet(task: StageTask) -> Outcome:
        async with asyncio.timeout(60):
            await both_run.wait()
        return await succeed(task)

    async def check(house: House) -> None:
        run = await house.end_of(await house.start(FILES))

        assert run.state == State.SUCCEEDED
        assert (house.runner.started[0], house.runner.started[-1]) == ("top", "bottom")
        assert run.compute_s == 4.0
        assert [item.path for item in run.write_backs] == ["dvc.lock"]

    drive(tmp_path, {"left": meet, "right": meet}, check)


@pytest.mark.parametrize("keep_going", [True, False])
def test_after_a_failure_only_keep_going_starts_more(tmp_path: Path, keep_going: bool) -> None:
    files = {**FILES, "dvc.yaml": DIAMOND + "  apart: {cmd: make apart, deps: [a], outs: [x]}\n"}
    failed = asyncio.Event()

    async def fail_first(task: StageTask) -> Outcome:
        failed.set()
        return await fail(task)

    async def after_the_failure(task: StageTask) -> Outcome:
        await failed.wait()
        return await succeed(task)

    async def check(house: House) -> None:
        run = await house.end_of(await house.start(files, RunOptions(keep_going=keep_going)))

        assert run.state == State.FAILED
        assert run.error is not None
        assert run.error.reason == "STAGE_FAILED"
        expected: dict[str, State] = dict.fromkeys(("left", "right", "bottom"), State.SKIPPED)
        assert states(run) == {"top": State.FAILED, "apart": State.SUCCEEDED, **expected}

    drive(tmp_path, {"top": fail_first, "apart": after_the_failure}, check)


def test_what_was_not_started_is_skipped_with_the_reason(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        run = await house.end_of(await house.start(FILES))

        assert states(run)["bottom"] == State.SKIPPED
        assert "left" in run.stages[StageName("bottom")].reason

    drive(tmp_path, {"left": fail}, check)


def test_a_cancelled_run_stops_its_stages_and_keeps_what_was_done(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def hang(_task: StageTask) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    async def check(house: House) -> None:
        run = await house.start(FILES)
        await house.until_started("left", "right")

        assert house.driver.cancel(run.id)
        ended = await house.end_of(run)

        assert stopped.is_set()
        assert ended.state == State.CANCELLED
        assert ended.error is not None
        assert ended.error.reason == "CANCELLED"
        assert states(ended) == {
            "top": State.SUCCEEDED,
            "left": State.CANCELLED,
            "right": State.CANCELLED,
            "bottom": State.CANCELLED,
        }
        assert [item.path for item in ended.write_backs] == ["dvc.lock"]

    drive(tmp_path, {"left": hang, "right": hang}, check)


def test_a_service_that_stops_leaves_its_runs_to_its_next_life(tmp_path: Path) -> None:
    async def hang(_task: StageTask) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    async def check(house: House) -> None:
        run = await house.start(FILES)
        await house.until_started("left", "right")
        await house.driver.close()
        left = await house.runs.get(run.id)
        house.runner.behaviours = {}
        await house.next_driver().resume(left)
        ended = await house.end_of(run)

        assert (left.state, states(left)["top"]) == (State.RUNNING, State.SUCCEEDED)
        assert states(ended) == dict.fromkeys(("top", "left", "right", "bottom"), State.SUCCEEDED)
        assert sorted(house.runner.started) == ["bottom", "left", "left", "right", "right", "top"]
        assert [item.path for item in ended.write_backs] == ["dvc.lock"]

    drive(tmp_path, {"left": hang, "right": hang}, check)


def test_a_stop_that_was_asked_for_is_not_forgotten_with_the_service(tmp_path: Path) -> None:
    async def hang(_task: StageTask) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    async def check(house: House) -> None:
        run = await house.start(FILES)
        await house.until_started("left", "right")
        await house.driver.close()
        await house.runs.request_stop(run.id)
        await house.next_driver().resume(await house.runs.get(run.id))

        ended = await house.end_of(run)
        assert (ended.state, states(ended)["top"]) == (State.CANCELLED, State.SUCCEEDED)
        assert sorted(house.runner.started) == ["left", "right", "top"]

    drive(tmp_path, {"left": hang, "right": hang}, check)


def test_a_run_that_cannot_be_opened_again_is_lost_with_the_reason(tmp_path: Path) -> None:
    async def hang(_task: StageTask) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    async def check(house: House) -> None:
        run = await house.start(FILES)
        await house.until_started("top")
        await house.driver.close()
        house.forget(run)
        await house.next_driver().resume(await house.runs.get(run.id))

        ended = await house.end_of(run)
        assert set(states(ended).values()) == {State.LOST}
        assert ended.error is not None
        assert ended.error.reason == "SUBMISSION_GONE"

    drive(tmp_path, {"top": hang}, check)


def test_what_failed_before_a_restart_has_failed(tmp_path: Path) -> None:
    async def hang(_task: StageTask) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    async def check(house: House) -> None:
        run = await house.start(FILES, RunOptions(keep_going=True))
        await house.until_started("left", "right")
        await house.until(run, lambda now: states(now)["left"] == State.FAILED)
        await house.driver.close()
        house.runner.behaviours = {}
        await house.next_driver().resume(await house.runs.get(run.id))

        ended = await house.end_of(run)
        assert states(ended) == {
            "top": State.SUCCEEDED,
            "left": State.FAILED,
            "right": State.SUCCEEDED,
            "bottom": State.SKIPPED,
        }
        assert ended.state == State.FAILED

    drive(tmp_path, {"left": fail, "right": hang}, check)


def test_a_bug_ends_one_run_and_no_other(tmp_path: Path) -> None:
    async def break_down(_task: StageTask) -> Outcome:
        raise ZeroDivisionError

    async def check(house: House) -> None:
        broken = await house.end_of(await house.start(FILES))
        house.runner.behaviours = {}
        sound = await house.end_of(await house.start(FILES))

        assert (broken.state, sound.state) == (State.LOST, State.SUCCEEDED)
        assert broken.error is not None
        assert broken.error.reason == "INTERNAL"
        assert house.log.problems == ["run failed unexpectedly"]

    drive(tmp_path, {"top": break_down}, check)


def lock_of(stage: str, outs: Sequence[str]) -> str:
    blob = digest_content(stage.encode())
    lines = [f"    - path: {out}\n      hash: md5\n      md5: {blob.hash}\n      size: 1\n" for out in outs]
    return f"schema: '2.0'\nstages:\n  {stage}:\n    cmd: make {stage}\n    outs:\n{''.join(lines)}"


@pytest.mark.parametrize(
    ("flags", "held", "state", "ran"),
    [
        pytest.param("", True, State.SUCCEEDED, False, id="a stage without inputs is believed to dvc.lock"),
        pytest.param("", False, State.SUCCEEDED, True, id="unless the store lacks its outputs"),
        pytest.param(", always_changed: true", True, State.SUCCEEDED, True, id="or it always runs"),
        pytest.param(", frozen: true", True, State.SUCCEEDED, False, id="a frozen stage never runs"),
        pytest.param(", frozen: true", False, State.FAILED, False, id="not even when its outputs are lost"),
    ],
)
def test_what_dvc_lock_says_counts_where_nothing_else_can(
    tmp_path: Path,
    flags: str,
    held: bool,
    state: State,
    ran: bool,
) -> None:
    files = {
        "dvc.yaml": f"stages:\n  only: {{cmd: make only, outs: [o]{flags}}}\n",
        "dvc.lock": lock_of("only", ["o"]),
    }

    async def check(house: House) -> None:
        if held:
            await house.put.put_content(b"only")
        run = await house.end_of(await house.start(files))

        assert run.state == state
        assert house.runner.started == (["only"] if ran else [])

    drive(tmp_path, {}, check)
