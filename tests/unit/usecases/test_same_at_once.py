"""What two users submit at the same instant is executed once, every time."""

import asyncio
import itertools
from pathlib import Path

from tests.unit.usecases.driving import House, drive
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.task import Outcome, StageTask, Succeeded

_TIMES = 20
_STAGES = 20
_TREE = "stages:\n" + "".join(
    f"  s{number}: {{cmd: make {number}, deps: [{dep}], outs: [o{number}]}}\n"
    for number, dep in enumerate(["seed", *(f"o{number // 2}" for number in range(_STAGES - 1))])
)


def test_twenty_stages_of_two_users_are_executed_twenty_times_time_and_again(tmp_path: Path) -> None:
    async def check(house: House) -> None:
        numbers = itertools.count()

        async def make(task: StageTask) -> Outcome:
            """Another content every time: equal outputs were executed once."""
            outs = []
            for out in task.stage.outs:
                digest = await house.put.put_content(f"{next(numbers)}".encode())
                outs.append(FileEntry(path=out.path, hash=digest.hash, size_bytes=digest.size_bytes))
            entry = StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=tuple(outs))
            return Succeeded(entry=entry, cache=CacheUse.MISS, wall_s=0.0)

        house.runner.behaviours = {f"s{number}": make for number in range(_STAGES)}
        for time in range(_TIMES):
            house.runner.started.clear()
            files = {"dvc.yaml": _TREE, "seed": str(time)}
            begun = await asyncio.gather(house.start(files, user="ana"), house.start(files, user="ben"))
            async with asyncio.timeout(60):
                one, other = await asyncio.gather(*(house.end_of(run) for run in begun))
            assert len(house.runner.started) == _STAGES
            assert (one.state, other.state) == (State.SUCCEEDED, State.SUCCEEDED)
            outputs = [
                {name: [out.hash for out in stage.outs] for name, stage in run.stages.items()}
                for run in (one, other)
            ]
            assert outputs[0] == outputs[1]

    drive(tmp_path, {}, check)
