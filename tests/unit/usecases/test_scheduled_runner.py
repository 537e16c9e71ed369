"""Stages of several runs wait for one machine, and leave it clean however they end."""

import asyncio
from collections.abc import Collection
from pathlib import Path

from tests.unit.usecases.driving import FILES, House, drive, states, succeed
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.resources import Machine
from wherry.service.domain.run import Run
from wherry.service.domain.states import Phase, State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import AttemptId, Outcome, StageTask
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.usecases.rank_stages import RankStages
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.scheduled_runner import Places, ScheduledStageRunner

WIDE = """\
stages:
  wide: {cmd: x, deps: [a], outs: [w], meta: {wherry: {cpus: 2}}}
"""
NARROW = "  narrow: {cmd: x, deps: [a], outs: [n]}\n"


class Crowd:
    """Counts the stages that run at the same time; each waits until the test lets it go."""

    def __init__(self) -> None:
        self.now: set[str] = set()
        self.most = 0
        self.gate = asyncio.Event()

    async def stay(self, task: StageTask) -> Outcome:
        self.now.add(task.stage.name)
        self.most = max(self.most, len(self.now))
        try:
            await self.gate.wait()
            return await succeed(task)
        finally:
            self.now.discard(task.stage.name)


def limit(
    house: House,
    *,
    at_once: int,
    cpus: float = 2,
    begun: Collection[str] = (),
    inner: StageRunner | None = None,
) -> Places:
    """Give the house a machine for its runs, on which the stages called `begun` run already."""
    places = Places(Machine(cpus=cpus, memory_bytes=2**30), at_once=at_once)

    def runner_for(run: Run, project: Project, options: RunOptions) -> ScheduledStageRunner:
        return ScheduledStageRunner(
            inner or house.runner,
            places=places,
            rank=RankStages(house.cache),
            run=run,
            project=project,
            options=options,
            begun_with=lambda task: () if task.stage.name in begun else None,
        )

    house.runner_for = runner_for
    return places


def test_stages_of_all_runs_together_keep_to_the_places_there_are(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        limit(house, at_once=1)
        crowd = Crowd()
        crowd.gate.set()
        house.runner.behaviours = dict.fromkeys(("top", "left", "right", "bottom"), crowd.stay)
        runs = [await house.start(FILES, RunOptions(force=True)) for _ in range(3)]

        assert {(await house.end_of(run)).state for run in runs} == {State.SUCCEEDED}
        assert crowd.most == 1

    drive(tmp_path, {}, check)


def test_a_stage_says_what_it_waits_for_until_it_has_it(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        limit(house, at_once=4)
        crowd = Crowd()
        house.runner.behaviours = {"top": crowd.stay}
        await house.start(FILES)
        await house.until_started("top")
        run = await house.start({"dvc.yaml": WIDE, "a": "1"})
        async with asyncio.timeout(60):
            while not (waiting := (await house.runs.get(run.id)).stages[StageName("wide")]).reason:
                await house.runs.wait_for_events(run.id, len(house.runs.events[run.id]), 1)
        assert (waiting.state, waiting.reason) == (State.QUEUED, "waits for 2 cpus (1 free)")
        crowd.gate.set()
        ended = await house.end_of(run)

        assert set(states(ended).values()) == {State.SUCCEEDED}
        assert ended.stages[StageName("wide")].reason == ""

    drive(tmp_path, {}, check)


def test_a_run_that_is_stopped_while_it_waits_leaves_the_places_to_others(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        limit(house, at_once=1)
        crowd = Crowd()
        house.runner.behaviours = {"top": crowd.stay}
        running = await house.start(FILES, RunOptions(force=True))
        await house.until_started("top")
        waiting = await house.start(FILES, RunOptions(force=True))
        await asyncio.sleep(0)
        assert house.driver.cancel(waiting.id)
        assert (await house.end_of(waiting)).state == State.CANCELLED
        assert house.driver.cancel(running.id)
        assert (await house.end_of(running)).state == State.CANCELLED
        crowd.gate.set()
        last = await house.end_of(await house.start(FILES, RunOptions(force=True)))

        assert set(states(last).values()) == {State.SUCCEEDED}

    drive(tmp_path, {}, check)


def test_a_stage_that_runs_already_goes_on_at_once_and_keeps_others_from_its_part(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        limit(house, at_once=1, begun={"top"})
        crowd = Crowd()
        house.runner.behaviours = {"wide": crowd.stay, "top": crowd.stay}
        first = await house.start({"dvc.yaml": WIDE, "a": "1"})
        await house.until_started("wide")
        taken_up = await house.start(FILES)
        await house.until_started("top")
        later = await house.start({"dvc.yaml": "stages:\n" + NARROW, "a": "1"})
        assert crowd.now == {"wide", "top"}
        crowd.gate.set()

        assert {(await house.end_of(run)).state for run in (first, taken_up, later)} == {State.SUCCEEDED}
        assert house.runner.started[-1] in {"narrow", "bottom"}

    drive(tmp_path, {}, check)


def test_a_stage_that_the_machine_can_no_longer_run_fails_and_does_not_wait_for_ever(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        limit(house, at_once=4, cpus=1)
        run = await house.end_of(
            await house.start({"dvc.yaml": WIDE + NARROW, "a": "1"}, RunOptions(keep_going=True))
        )

        assert states(run) == {"wide": State.FAILED, "narrow": State.SUCCEEDED}
        assert run.stages[StageName("wide")].reason == "asks for 2 cpus, and a stage can have 1 cpu at most"

    drive(tmp_path, {}, check)


class Collecting(StageRunner):
    """Stages whose commands end at once, and whose outputs are collected until the test lets them be."""

    def __init__(self, inner: StageRunner) -> None:
        self._inner = inner
        self.collecting: list[str] = []
        self._began = asyncio.Semaphore(0)
        self.gate = asyncio.Event()

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        await observer.entered(State.RUNNING, Phase.COLLECTING)
        self.collecting.append(task.stage.name)
        self._began.release()
        await self.gate.wait()
        return await self._inner.run(task, attempt, observer)

    async def until(self, count: int) -> None:
        """Return when so many are being collected, and whatever could go on since has gone on."""
        async with asyncio.timeout(30):
            for _ in range(count):
                await self._began.acquire()
        for _ in range(50):
            await asyncio.sleep(0)


def _side_by_side(count: int, meta: str = "{}") -> dict[str, str]:
    stages = [
        f"  s{number}: {{cmd: x, deps: [a], outs: [o{number}], meta: {meta}}}" for number in range(count)
    ]
    return {"dvc.yaml": "\n".join(["stages:", *stages]), "a": "1"}


def test_while_outputs_are_collected_the_next_stages_run_but_not_without_end(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        limit(house, at_once=2, inner=(collecting := Collecting(house.runner)))
        run = await house.start(_side_by_side(8))
        await collecting.until(4)
        # Two have left their places, two more have them.
        assert len(collecting.collecting) == 4
        collecting.gate.set()

        assert set(states(await house.end_of(run)).values()) == {State.SUCCEEDED}
        assert len(collecting.collecting) == 8

    drive(tmp_path, {}, check)


def test_a_stage_that_may_be_tried_again_keeps_its_place_to_the_end(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        limit(house, at_once=1, inner=(collecting := Collecting(house.runner)))
        run = await house.start(_side_by_side(3, "{wherry: {retries: 1}}"))
        await collecting.until(1)
        assert len(collecting.collecting) == 1
        collecting.gate.set()

        assert set(states(await house.end_of(run)).values()) == {State.SUCCEEDED}

    drive(tmp_path, {}, check)
