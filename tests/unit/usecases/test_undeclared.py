"""Results that read undeclared files, through the driver: which one is used, and when none is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.unit.usecases.driving import Behaviour, House, drive, succeed
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import Outcome, StageTask, Succeeded
from wherry.service.domain.undeclared import reads_of

_FILES = {
    "dvc.yaml": "stages:\n  top:\n    cmd: make top\n    deps: [a]\n    outs: [t]\n",
    "a": "1",
    "sub/helper.py": "one",
}


def _reading(*paths: str, seen: bool = True) -> Behaviour:
    async def read(task: StageTask) -> Outcome:
        outcome = await succeed(task)
        assert isinstance(outcome, Succeeded)
        read = [ProjectPath(path) for path in paths] if seen else None
        return replace(outcome, undeclared=reads_of(task, read))

    return read


def _uses(tmp_path: Path, behaviour: Behaviour, *projects: Mapping[str, str]) -> list[CacheUse | None]:
    """What the run cache had to do with the stage, in one run after another of these states of the project."""
    uses: list[CacheUse | None] = []

    async def check(house: House) -> None:
        await house.put.put_content(b"top")
        for changes in projects:
            ended = await house.end_of(await house.start({**_FILES, **changes}))
            (stage,) = ended.stages.values()
            uses.append(stage.cache)
            assert stage.undeclared_deps == tuple(file.path for file in stage.undeclared)

    drive(tmp_path, {"top": behaviour}, check)
    return uses


_HIT, _MISS = CacheUse.HIT, CacheUse.MISS


def test_results_for_other_helpers_stand_beside_each_other(tmp_path: Path) -> None:
    other = {"sub/helper.py": "two"}
    assert _uses(tmp_path, _reading("sub/helper.py"), {}, other, {}, other, {"sub/helper.py": "three"}) == [
        _MISS,
        _MISS,
        _HIT,
        _HIT,
        _MISS,
    ]


def test_a_file_that_was_not_read_may_change(tmp_path: Path) -> None:
    assert _uses(tmp_path, _reading(), {}, {"sub/helper.py": "two"}, {"new": ""}) == [_MISS, _HIT, _HIT]


def test_where_reads_cannot_be_seen_any_file_may_have_been_read(tmp_path: Path) -> None:
    lock = {"dvc.lock": "schema: '2.0'\nstages: {}\n"}
    assert _uses(tmp_path, _reading(seen=False), {}, {}, lock, {"new": ""}) == [_MISS, _HIT, _HIT, _MISS]
