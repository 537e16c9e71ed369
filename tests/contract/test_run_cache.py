import asyncio
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.fakes.run_cache import FakeRunCache
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.domain.blob import BlobHash
from wherry.service.domain.explanation import Circumstances, DeclaredOutput, Family
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.reads import ReadFile, Reads
from wherry.service.domain.records import FileEntry, OutputKind, StageEntry
from wherry.service.domain.task import RunId, StrictKey
from wherry.service.domain.usage import Usage
from wherry.service.ports.run_cache import RESULTS_PER_KEY_MAX, Result, RunCache

KEY = StrictKey("ab" * 32)
RESULT = Result(
    key=KEY,
    entry=StageEntry(
        cmd=("python train.py", "echo done"),
        deps=(FileEntry(path="../data", hash=BlobHash("0" * 32 + ".dir"), size_bytes=12, nfiles=2),),
        params={"params.yaml": {"lr": 1e-3, "layers": [1, 2], "opt.kind": None}, "p.toml": {}},
        outs=(FileEntry(path="model.pkl", hash=BlobHash("1" * 32), size_bytes=3, executable=True),),
    ),
    run_id=RunId("17"),
    user="ada",
    image="sha256:" + "2" * 64,
    wall_s=12.5,
    created_at=datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC),
    usage=Usage(peak_memory_bytes=2**40, cpu_s=1.25, written_bytes=0),
    family=Family("fa" * 32),
    circumstances=Circumstances(
        wdir=ProjectPath("sub/folder"),
        outs=(
            DeclaredOutput(path="model.pkl", kind=OutputKind.OUT, cache=True),
            DeclaredOutput(path="scores.json", kind=OutputKind.METRIC, cache=False),
        ),
        environment={"SEED": "3" * 64},
        image=Image(name="team/base:1", digest="sha256:" + "2" * 64, platform="linux/arm64"),
        network=False,
    ),
    undeclared=Reads(
        files=(
            ReadFile(path=ProjectPath("bin/tool"), hash=BlobHash("4" * 32), size_bytes=9, executable=True),
            ReadFile(path=ProjectPath("helper.py"), hash=BlobHash("5" * 32), size_bytes=7),
        )
    ),
)


@pytest.fixture(params=["fake", "sqlite_database", "postgres_database"])
def cache(request: pytest.FixtureRequest) -> RunCache:
    if request.param == "fake":
        return FakeRunCache()
    return SqlRunCache(request.getfixturevalue(request.param))


def test_an_unknown_key_has_no_result(cache: RunCache) -> None:
    assert list(asyncio.run(cache.find(KEY))) == []


def test_many_keys_are_found_as_each_is(cache: RunCache) -> None:
    keys = [StrictKey(f"{number:064x}") for number in range(1200)]  # more than one statement takes

    async def check() -> None:
        assert await cache.find_all([]) == {}
        for key in (keys[0], keys[700]):
            await cache.publish(replace(RESULT, key=key))
            await cache.publish(replace(RESULT, key=key, undeclared=Reads(), run_id=RunId("18")))
        found = await cache.find_all(keys)
        assert {key: list(results) for key, results in found.items() if results} == {
            key: list(await cache.find(key)) for key in (keys[0], keys[700])
        }
        assert len(found[keys[0]]) == 2

    asyncio.run(check())


def test_a_published_result_is_found_whole(cache: RunCache) -> None:
    asyncio.run(cache.publish(RESULT))
    assert list(asyncio.run(cache.find(KEY))) == [RESULT]
    assert list(asyncio.run(cache.find(StrictKey("cd" * 32)))) == []


def test_a_second_result_that_read_the_same_replaces_the_first(cache: RunCache) -> None:
    other = replace(
        RESULT, run_id=RunId("18"), user="bob", wall_s=1.0, entry=replace(RESULT.entry, cmd="true")
    )
    asyncio.run(cache.publish(RESULT))
    asyncio.run(cache.publish(other))
    assert list(asyncio.run(cache.find(KEY))) == [other]


def _after(minutes: int, undeclared: Reads | None) -> Result:
    return replace(RESULT, created_at=RESULT.created_at + timedelta(minutes=minutes), undeclared=undeclared)


def _reads(content: str) -> Reads:
    return Reads(files=(ReadFile(path=ProjectPath("h.py"), hash=BlobHash(content), size_bytes=1),))


def test_results_of_a_key_that_read_other_things_stand_beside_each_other_newest_first(
    cache: RunCache,
) -> None:
    kept = [
        _after(3, _reads("a" * 32)),
        _after(1, Reads()),
        _after(4, None),
        _after(2, Reads(all_files="b" * 64)),
    ]
    for result in kept:
        asyncio.run(cache.publish(result))
    assert list(asyncio.run(cache.find(KEY))) == [kept[2], kept[0], kept[3], kept[1]]
    again = _after(5, _reads("a" * 32))
    asyncio.run(cache.publish(again))
    assert list(asyncio.run(cache.find(KEY))) == [again, kept[2], kept[3], kept[1]]


def test_of_one_key_the_newest_results_are_kept_and_other_keys_are_left_alone(cache: RunCache) -> None:
    other = replace(_after(-9, Reads()), key=StrictKey("cd" * 32))
    asyncio.run(cache.publish(other))
    for number in range(RESULTS_PER_KEY_MAX + 3):
        asyncio.run(cache.publish(_after(number, _reads(f"{number:032x}"))))
    found = asyncio.run(cache.find(KEY))
    assert [result.undeclared for result in found] == [
        _reads(f"{number:032x}") for number in range(RESULTS_PER_KEY_MAX + 2, 2, -1)
    ]
    assert list(asyncio.run(cache.find(other.key))) == [other]


def test_numbers_keep_their_type_so_that_dvc_writes_the_same_lock(cache: RunCache) -> None:
    params = {"params.yaml": {"int": 1, "float": 1.0, "bool": True, "inf": math.inf, "nan": math.nan}}
    asyncio.run(cache.publish(replace(RESULT, entry=replace(RESULT.entry, params=params))))
    (found,) = asyncio.run(cache.find(KEY))
    assert repr(dict(found.entry.params["params.yaml"])) == repr(params["params.yaml"])


def test_a_moment_of_another_time_zone_stays_the_same_moment(cache: RunCache) -> None:
    local = RESULT.created_at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    asyncio.run(cache.publish(replace(RESULT, created_at=local)))
    (found,) = asyncio.run(cache.find(KEY))
    assert found.created_at == RESULT.created_at


def _at(number: int, family: str = "fa") -> Result:
    """The result of a key and a minute of its own."""
    return replace(
        RESULT,
        key=StrictKey(f"{number:064x}"),
        created_at=RESULT.created_at + timedelta(minutes=number),
        family=Family(family * 32),
    )


def test_a_family_is_listed_newest_first_and_no_longer_than_asked_for(cache: RunCache) -> None:
    for number, family in ((3, "fa"), (1, "fa"), (2, "fb"), (4, "fa")):
        asyncio.run(cache.publish(_at(number, family)))
    listed = asyncio.run(cache.list_family(Family("fa" * 32), limit=2))
    assert list(listed) == [_at(4), _at(3)]
    assert list(asyncio.run(cache.list_family(Family("fb" * 32), limit=9))) == [_at(2, "fb")]
    assert list(asyncio.run(cache.list_family(Family("fc" * 32), limit=9))) == []


def test_the_mean_duration_of_a_stage_is_known_when_it_has_results(cache: RunCache) -> None:
    for number, family, wall_s in ((1, "fa", 1.0), (2, "fa", 4.0), (3, "fb", 7.0)):
        asyncio.run(cache.publish(replace(_at(number, family), wall_s=wall_s)))
    families = {Family("fa" * 32), Family("fc" * 32), *(Family(f"{number:064x}") for number in range(2000))}
    assert asyncio.run(cache.mean_durations(families)) == {Family("fa" * 32): 2.5}
    assert asyncio.run(cache.mean_durations(set())) == {}


def test_a_result_that_is_replaced_moves_to_its_new_family(cache: RunCache) -> None:
    moved = replace(RESULT, family=Family("fb" * 32))
    asyncio.run(cache.publish(RESULT))
    asyncio.run(cache.publish(moved))
    assert list(asyncio.run(cache.list_family(Family("fa" * 32), limit=9))) == []
    assert list(asyncio.run(cache.list_family(Family("fb" * 32), limit=9))) == [moved]


def test_a_result_without_a_family_is_found_and_never_listed(cache: RunCache) -> None:
    old = replace(RESULT, family=None, circumstances=None)
    asyncio.run(cache.publish(old))
    assert list(asyncio.run(cache.find(KEY))) == [old]
    assert list(asyncio.run(cache.list_family(Family("fa" * 32), limit=9))) == []
