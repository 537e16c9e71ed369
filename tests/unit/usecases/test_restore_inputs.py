"""Driving a run whose inputs go from the bucket while it goes on: what made them makes them again."""

import asyncio
from pathlib import Path

from tests.unit.usecases.driving import (
    FILES,
    ONLY_TOP,
    TOP,
    House,
    drive,
    states,
)
from wherry.service.domain.blob import digest_content, object_key
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.task import Outcome, StageTask, Succeeded, Vanished


class Keeping:
    """Stages whose outputs reach the bucket, and that miss what is not there."""

    def __init__(self, house: House) -> None:
        self.house = house
        house.runner.behaviours = dict.fromkeys(("top", "left", "right", "bottom"), self)
        self.content: dict[str, list[str]] = {}
        """What a stage makes, one after the other, in place of its name."""

    async def __call__(self, task: StageTask) -> Outcome:
        inputs = [data.hash for data in task.data] + [file.hash for file in task.files.values()]
        for blob in inputs:
            if object_key(blob) not in self.house.objects.objects:
                return Vanished(reason=f"the store does not hold {blob}")
        name = task.stage.name
        content = (self.content.get(name) or [name]).pop(0).encode()
        digest = digest_content(content)
        await self.house.objects.put(object_key(digest.hash), content)
        await self.house.put.put_content(content)
        outs = tuple(FileEntry(path=out.path, hash=digest.hash, size_bytes=1) for out in task.stage.outs)
        entry = StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=outs)
        return Succeeded(entry=entry, cache=CacheUse.MISS, wall_s=1.0)


def test_two_that_miss_an_input_at_once_have_it_made_again_once(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        keep, both = Keeping(house), asyncio.Barrier(2)
        await house.end_of(await house.start(ONLY_TOP))
        await house.objects.delete(TOP)
        house.runner.started.clear()

        async def meet(task: StageTask) -> Outcome:
            outcome = await keep(task)
            if isinstance(outcome, Vanished):
                async with asyncio.timeout(60):
                    await both.wait()
            return outcome

        house.runner.behaviours |= {"left": meet, "right": meet}
        run = await house.end_of(await house.start(FILES))

        assert run.state == State.SUCCEEDED
        assert sorted(house.runner.started) == ["bottom", "left", "left", "right", "right", "top"]
        assert run.stages[StageName("top")].cache == CacheUse.MISS
        assert TOP in house.objects.objects
        assert house.log.problems == ["blobs have gone from the bucket"]

    drive(tmp_path, {}, check)


def test_who_has_read_what_came_out_otherwise_reads_it_again(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        keep, left_done = Keeping(house), asyncio.Event()
        await house.end_of(await house.start(ONLY_TOP))
        keep.content["top"] = ["top, otherwise"]
        house.runner.started.clear()

        async def first(task: StageTask) -> Outcome:
            outcome = await keep(task)
            await house.objects.delete(TOP)
            left_done.set()
            return outcome

        async def second(task: StageTask) -> Outcome:
            await left_done.wait()
            return await keep(task)

        house.runner.behaviours |= {"left": first, "right": second}
        run = await house.end_of(await house.start(FILES))

        assert run.state == State.SUCCEEDED
        made = {name: [out.hash for out in run.stages[StageName(name)].outs] for name in ("top",)}
        assert made["top"] == [digest_content(b"top, otherwise").hash]
        for reader in ("left", "right"):
            assert [dep.hash for dep in run.stages[StageName(reader)].deps] == made["top"]
        assert house.runner.started.count("left") == 2

    drive(tmp_path, {}, check)


def test_what_goes_again_and_again_ends_the_run(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        keep = Keeping(house)
        await house.end_of(await house.start(ONLY_TOP))
        house.runner.started.clear()

        async def lose_input(task: StageTask) -> Outcome:
            await house.objects.delete(TOP)
            return await keep(task)

        house.runner.behaviours |= {"left": lose_input, "right": lose_input}
        async with asyncio.timeout(60):
            run = await house.end_of(await house.start(FILES))

        assert run.state == State.LOST
        assert house.runner.started.count("top") == 2
        assert run.error is not None
        assert "'top' made it anew 2 times" in run.error.message

    drive(tmp_path, {}, check)


def test_what_no_stage_makes_must_be_submitted_again(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        Keeping(house)
        source = digest_content(b"1").hash

        async def lose_input(task: StageTask) -> Outcome:
            await house.objects.delete(object_key(source))
            return Vanished(reason="gone")

        house.runner.behaviours["top"] = lose_input
        run = await house.end_of(await house.start(FILES))

        assert states(run)["top"] == State.LOST
        assert "no longer has a, a file of the project: submit again" in run.stages[StageName("top")].reason
        assert await house.index.find_missing([source]) == {source}

    drive(tmp_path, {}, check)
