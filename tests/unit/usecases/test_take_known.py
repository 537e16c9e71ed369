"""What is taken in one go comes to the same as what is attempted stage by stage."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.unit.usecases.driving import House, drive, states
from wherry.service.domain.blob import object_key
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.run import Run, StageRecord
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import Outcome, StageTask, Succeeded
from wherry.service.usecases.attempt_stage import GoingRun

_PIPELINE = """\
stages:
  many:
    foreach: [0, 1, 2]
    do: {cmd: "make ${item}", deps: [a], params: [rate], outs: ["m${item}"]}
  all: {cmd: make all, deps: [m0, m1, m2], metrics: [{s.json: {cache: false}}]}
  frozen: {cmd: make frozen, deps: [a], outs: [f], frozen: true}
  always: {cmd: make always, deps: [a], outs: [w], always_changed: true}
"""
_PROJECT = {"dvc.yaml": _PIPELINE, "a": "1", "params.yaml": "rate: 0.1\n"}


async def _keep(house: House, task: StageTask) -> Outcome:
    """The store holds what is made, which is the name of the stage."""
    content = task.stage.name.encode()
    digest = await house.put.put_content(content)
    outs = tuple(
        FileEntry(path=out.path, hash=digest.hash, size_bytes=len(content)) for out in task.stage.outs
    )
    entry = StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=outs)
    return Succeeded(entry=entry, cache=CacheUse.MISS, wall_s=1.5)


class _Counted:
    """What a driver takes, by number of stages."""

    def __init__(self, house: House) -> None:
        self._take, self.left = house.take_known, list[tuple[int, int]]()
        house.take_known = self

    async def __call__(self, going: GoingRun, stages: Sequence[Stage]) -> Sequence[Stage]:
        left = await self._take(going, stages)
        self.left.append((len(stages), len(left)))
        return left


async def _nothing(_: GoingRun, stages: Sequence[Stage]) -> Sequence[Stage]:
    return stages


def _timeless(run: Run) -> dict[StageName, StageRecord]:
    """Without what differs from run to run: times, and which attempt it was."""
    return {
        name: replace(stage, since=None, attempt_id=None, output_after=0)
        for name, stage in run.stages.items()
    }


async def _run(house: House, options: RunOptions = RunOptions()) -> Run:  # noqa: B008 - frozen
    house.runner.started.clear()
    for name in ("many@0", "many@1", "many@2", "all", "always"):
        house.runner.behaviours[name] = lambda task: _keep(house, task)
    return await house.end_of(await house.start(_PROJECT, options))


def test_records_notes_and_what_is_written_back_are_the_same(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        first = await _run(house, RunOptions(keep_going=True))
        counted = _Counted(house)
        taken = await _run(house, RunOptions(keep_going=True))
        house.take_known = _nothing
        attempted = await _run(house, RunOptions(keep_going=True))

        assert states(first) == states(taken)
        # The frozen one and the one that always runs are left.
        assert counted.left == [(5, 2), (1, 0)]
        one, other = _timeless(taken), _timeless(attempted)
        assert one == other
        assert one[StageName("all")].cache is CacheUse.HIT
        assert taken.write_backs == attempted.write_backs
        assert (taken.saved_s, taken.compute_s) == (attempted.saved_s, attempted.compute_s)
        assert sorted(await house.lines_of(taken)) == sorted(await house.lines_of(attempted))

    drive(tmp_path, {}, check)


def test_what_is_to_run_whatever_is_known_is_left(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        await _run(house, RunOptions(keep_going=True))
        for options, ran in (
            (RunOptions(force=True, keep_going=True), {"many@0", "many@1", "many@2", "all", "always"}),
            (RunOptions(no_run_cache=True, keep_going=True), {"many@0", "many@1", "many@2", "all", "always"}),
            (RunOptions(forced=frozenset({StageName("many@1")}), keep_going=True), {"many@1", "always"}),
        ):
            await _run(house, options)
            assert set(house.runner.started) == ran

    drive(tmp_path, {}, check)


def test_of_a_frozen_stage_no_other_result_counts_than_that_of_the_lock(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        house.runner.behaviours["one"] = lambda task: _keep(house, task)
        for frozen, state in (("false", State.SUCCEEDED), ("true", State.FAILED)):
            pipeline = f"stages:\n  one: {{cmd: o, deps: [a], outs: [o], frozen: {frozen}}}\n"
            run = await house.end_of(await house.start({"dvc.yaml": pipeline, "a": "1"}))
            assert states(run) == {"one": state}

    drive(tmp_path, {}, check)


def test_a_result_whose_output_is_gone_is_left(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        first = await _run(house, RunOptions(keep_going=True))
        blob = first.stages[StageName("many@1")].outs[0].hash
        await house.index.remove({blob})
        await house.objects.delete(object_key(blob))
        run = await _run(house, RunOptions(keep_going=True))
        assert run.stages[StageName("many@1")].cache is CacheUse.MISS
        assert set(house.runner.started) == {"many@1", "always"}

    drive(tmp_path, {}, check)


def test_an_input_that_is_nowhere_is_the_fault_of_its_stage_alone(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        for name in ("good", "bad"):
            house.runner.behaviours[name] = lambda task: _keep(house, task)
        pipeline = (
            "stages:\n  good: {cmd: g, deps: [a], outs: [g]}\n  bad: {cmd: b, deps: [a, no], outs: [b]}\n"
        )
        files, options = {"dvc.yaml": pipeline, "a": "1"}, RunOptions(keep_going=True)
        await house.end_of(await house.start(files, options))
        house.runner.started.clear()
        run = await house.end_of(await house.start(files, options))
        assert states(run) == {"good": State.SUCCEEDED, "bad": State.FAILED}
        assert "'no', which does not exist" in run.stages[StageName("bad")].reason
        assert house.runner.started == []

    drive(tmp_path, {}, check)
