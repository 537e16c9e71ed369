"""Identical stages at the same time: one execution, and everybody has what it gives."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.usecases.driving import ONLY_TOP, House, drive, fail, states, succeed
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import Run, StageRecord
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import Outcome, StageTask


class Gate:
    """A stage that ends when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.stopped = False

    async def succeed(self, task: StageTask) -> Outcome:
        await self._wait()
        return await succeed(task)

    async def fail(self, task: StageTask) -> Outcome:
        await self._wait()
        return await fail(task)

    async def _wait(self) -> None:
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise


async def until_attached(house: House, run: Run) -> None:
    seen = 0
    async with asyncio.timeout(60):
        while only(await house.runs.get(run.id)).cache != CacheUse.MERGED:
            await house.runs.wait_for_events(run.id, seen, 10)
            seen = len(house.runs.events[run.id])


def only(run: Run) -> StageRecord:
    return run.stages[StageName("top")]


def test_a_second_user_waits_for_the_execution_of_the_first_and_is_told_whose_it_is(tmp_path: Path) -> None:
    gate = Gate()

    async def check(house: House) -> None:
        await house.put.put_content(b"top")  # what the scripted stage makes
        first = await house.start(ONLY_TOP)
        await house.until_started("top")
        second = await house.start(ONLY_TOP, user="bob")
        await until_attached(house, second)
        waiting = only(await house.runs.get(second.id))
        gate.open.set()
        ended, merged = await house.end_of(first), await house.end_of(second)

        assert house.runner.started == ["top"]
        assert (waiting.state, waiting.from_run, waiting.from_user) == (State.RUNNING, first.id, "ana")
        assert (ended.state, only(ended).cache) == (State.SUCCEEDED, CacheUse.MISS)
        assert (merged.state, only(merged).cache) == (State.SUCCEEDED, CacheUse.MERGED)
        assert (only(merged).from_run, only(merged).from_user) == (first.id, "ana")
        assert only(merged).outs == only(ended).outs
        assert (ended.compute_s, merged.compute_s, merged.saved_s) == (1.0, 0.0, 1.0)
        assert f"attached to run {first.id} of ana".encode() in (await house.lines_of(second))[0]
        assert house.leases.standing == {}

    drive(tmp_path, {"top": gate.succeed}, check)


def test_a_failure_is_that_of_all_who_wait_for_it(tmp_path: Path) -> None:
    gate = Gate()

    async def check(house: House) -> None:
        await house.put.put_content(b"top")  # what the scripted stage makes
        first = await house.start(ONLY_TOP)
        await house.until_started("top")
        second = await house.start(ONLY_TOP, user="bob")
        await until_attached(house, second)
        gate.open.set()

        for run in (first, second):
            ended = only(await house.end_of(run))
            assert (ended.state, ended.exit_code, ended.reason) == (State.FAILED, 1, "exited with 1")
        assert house.runner.started == ["top"]

    drive(tmp_path, {"top": gate.fail}, check)


def test_a_failure_counts_only_for_who_has_the_same_files(tmp_path: Path) -> None:
    gate = Gate()

    async def check(house: House) -> None:
        await house.put.put_content(b"top")  # what the scripted stage makes
        first = await house.start({**ONLY_TOP, "undeclared.py": "broken"})
        await house.until_started("top")
        second = await house.start({**ONLY_TOP, "undeclared.py": "mended"}, user="bob")
        await until_attached(house, second)
        house.runner.behaviours = {}
        gate.open.set()

        assert (await house.end_of(first)).state == State.FAILED
        assert (await house.end_of(second)).state == State.SUCCEEDED
        assert house.runner.started == ["top", "top"]

    drive(tmp_path, {"top": gate.fail}, check)


@pytest.mark.parametrize("leaver", ["the one who submitted first", "the one who came later"])
def test_one_who_leaves_changes_nothing_for_the_other(tmp_path: Path, leaver: str) -> None:
    gate = Gate()

    async def check(house: House) -> None:
        await house.put.put_content(b"top")  # what the scripted stage makes
        first = await house.start(ONLY_TOP)
        await house.until_started("top")
        second = await house.start(ONLY_TOP, user="bob")
        await until_attached(house, second)
        leaves, stays = (first, second) if leaver.endswith("first") else (second, first)
        house.driver.cancel(leaves.id)
        assert (await house.end_of(leaves)).state == State.CANCELLED
        assert not gate.stopped
        gate.open.set()

        assert (await house.end_of(stays)).state == State.SUCCEEDED
        assert house.runner.started == ["top"]
        later = only(await house.end_of(await house.start(ONLY_TOP, user="eve")))
        assert (later.cache, later.from_run) == (CacheUse.HIT, stays.id)

    drive(tmp_path, {"top": gate.succeed}, check)


def test_the_last_one_who_leaves_stops_the_execution(tmp_path: Path) -> None:
    gate = Gate()

    async def check(house: House) -> None:
        await house.put.put_content(b"top")  # what the scripted stage makes
        first = await house.start(ONLY_TOP)
        await house.until_started("top")
        second = await house.start(ONLY_TOP, user="bob")
        await until_attached(house, second)
        for run in (first, second):
            assert not gate.stopped
            house.driver.cancel(run.id)
            assert (await house.end_of(run)).state == State.CANCELLED

        assert gate.stopped
        assert house.leases.standing == {}

    drive(tmp_path, {"top": gate.succeed}, check)


def test_however_often_one_user_submits_it_is_executed_once(tmp_path: Path) -> None:
    gate = Gate()

    async def check(house: House) -> None:
        await house.put.put_content(b"top")  # what the scripted stage makes
        runs = [await house.start(ONLY_TOP) for _ in range(5)]
        for run in runs[1:]:
            await until_attached(house, run)
        gate.open.set()
        for run in runs:
            assert states(await house.end_of(run)) == {"top": State.SUCCEEDED}

        assert house.runner.started == ["top"]

    drive(tmp_path, {"top": gate.succeed}, check)


@pytest.mark.parametrize("options", [RunOptions(force=True), RunOptions(no_run_cache=True)])
def test_who_asks_for_a_new_execution_gets_one_of_its_own(tmp_path: Path, options: RunOptions) -> None:
    gate = Gate()

    async def check(house: House) -> None:
        await house.put.put_content(b"top")  # what the scripted stage makes
        first = await house.start(ONLY_TOP)
        await house.until_started("top")
        house.runner.behaviours = {}
        forced = await house.end_of(await house.start(ONLY_TOP, options, user="bob"))

        assert (forced.state, only(forced).cache) == (State.SUCCEEDED, CacheUse.BYPASS)
        assert house.runner.started == ["top", "top"]
        gate.open.set()
        assert (await house.end_of(first)).state == State.SUCCEEDED

    drive(tmp_path, {"top": gate.succeed}, check)


def test_others_may_wait_for_a_new_execution_that_somebody_asked_for(tmp_path: Path) -> None:
    gate = Gate()

    async def check(house: House) -> None:
        await house.put.put_content(b"top")  # what the scripted stage makes
        forced = await house.start(ONLY_TOP, RunOptions(force=True))
        await house.until_started("top")
        second = await house.start(ONLY_TOP, user="bob")
        await until_attached(house, second)
        gate.open.set()

        assert only(await house.end_of(forced)).cache == CacheUse.BYPASS
        assert only(await house.end_of(second)).cache == CacheUse.MERGED
        assert house.runner.started == ["top"]

    drive(tmp_path, {"top": gate.succeed}, check)


def test_fifty_points_of_a_sweep_execute_once_what_they_share_and_the_rest_fifty_times(
    tmp_path: Path,
) -> None:
    pipeline = """\
stages:
  top: {cmd: make top, deps: [a], outs: [t]}
  left: {cmd: make left, deps: [t], params: [point], outs: [l]}
"""
    points = [{"dvc.yaml": pipeline, "a": "1", "params.yaml": f"point: {point}\n"} for point in range(50)]
    gate = Gate()

    async def check(house: House) -> None:
        for made in (b"top", b"left"):
            await house.put.put_content(made)
        runs = [await house.start(point) for point in points]
        await house.until_started("top")
        gate.open.set()
        ended = [await house.end_of(run) for run in runs]

        assert [states(run) for run in ended] == [{"top": State.SUCCEEDED, "left": State.SUCCEEDED}] * 50
        assert Counter(house.runner.started) == {"top": 1, "left": 50}
        assert sum(run.compute_s for run in ended) == 51.0
        assert sum(run.saved_s for run in ended) == 49.0

    drive(tmp_path, {"top": gate.succeed}, check)
