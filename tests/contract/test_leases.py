import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, insert

from tests.contract.test_run_cache import RESULT
from tests.fakes.leases import FakeLeases
from tests.fakes.run_cache import FakeRunCache
from wherry.service.adapters.database import Database
from wherry.service.adapters.leases_sql import SqlLeases
from wherry.service.adapters.run_cache_sql import SqlRunCache
from wherry.service.adapters.tables import leases as leases_table
from wherry.service.domain.errors import LeaseLost
from wherry.service.domain.lease import Lease
from wherry.service.domain.task import Failed, LeaseToken, RunId, StrictKey
from wherry.service.ports.leases import Leases
from wherry.service.ports.run_cache import RunCache

NOW = datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
KEY = RESULT.key
MINE = Lease(
    key=KEY,
    token=LeaseToken("a1"),
    owner="north",
    run_id=RunId("7"),
    user="ana",
    stage="train",
    expires_at=LATER,
)
THEIRS = replace(MINE, token=LeaseToken("b1"), owner="south", run_id=RunId("8"), user="bob")
FAILURE = Failed(reason="exited with 3", exit_code=3, wall_s=1.5)

Kept = tuple[Leases, RunCache]


@pytest.fixture(params=["fake", "sqlite_database", "postgres_database"])
def kept(request: pytest.FixtureRequest) -> Kept:
    """Leases, and the run cache that they guard."""
    if request.param == "fake":
        leases = FakeLeases()
        return leases, FakeRunCache(leases=leases)
    database = request.getfixturevalue(request.param)
    return SqlLeases(database), SqlRunCache(database)


@pytest.fixture
def leases(kept: Kept) -> Leases:
    return kept[0]


def test_the_first_gets_the_lease_and_the_second_is_told_whose_it_is(leases: Leases) -> None:
    assert asyncio.run(leases.acquire(MINE, now=NOW)) == MINE
    assert asyncio.run(leases.acquire(THEIRS, now=NOW)) == MINE
    assert asyncio.run(leases.find(KEY)) == MINE


def test_of_many_that_want_it_at_once_one_gets_it(leases: Leases) -> None:
    async def contend() -> list[Lease]:
        wanted = [replace(MINE, token=LeaseToken(f"t{number}"), owner=f"o{number}") for number in range(20)]
        return list(await asyncio.gather(*(leases.acquire(lease, now=NOW) for lease in wanted)))

    standing = asyncio.run(contend())
    assert {lease.token for lease in standing} == {standing[0].token}


@pytest.mark.parametrize(("seconds", "taken"), [(29.999, False), (30, True)])
def test_a_lease_that_has_expired_is_taken_over(leases: Leases, seconds: float, taken: bool) -> None:
    asyncio.run(leases.acquire(MINE, now=NOW))
    standing = asyncio.run(leases.acquire(THEIRS, now=NOW + timedelta(seconds=seconds)))
    assert standing == (THEIRS if taken else MINE)


def test_a_lease_that_was_renewed_lives_on(leases: Leases) -> None:
    asyncio.run(leases.acquire(MINE, now=NOW))
    renewed = LATER + timedelta(seconds=30)
    assert asyncio.run(leases.renew([MINE], expires_at=renewed)) == {
        MINE.token: replace(MINE, expires_at=renewed)
    }
    assert asyncio.run(leases.acquire(THEIRS, now=LATER)) == replace(MINE, expires_at=renewed)


def test_many_leases_are_renewed_together_and_those_of_others_are_left_alone(leases: Leases) -> None:
    renewed = LATER + timedelta(seconds=30)
    many = [
        replace(MINE, key=StrictKey(f"{number:064x}"), token=LeaseToken(f"m{number}")) for number in range(3)
    ]
    taken = replace(THEIRS, key=many[1].key)

    async def check() -> None:
        for lease in many:
            await leases.acquire(lease, now=NOW)
        await leases.acquire(taken, now=LATER)
        # The same keys under other tokens, and the other way round.
        crossed = [replace(many[0], token=many[2].token)]

        assert await leases.renew(many, expires_at=renewed) == {
            lease.token: replace(lease, expires_at=renewed) for lease in (many[0], many[2])
        }
        assert await leases.find(taken.key) == taken
        assert await leases.renew(crossed, expires_at=LATER) == {}
        assert await leases.renew([], expires_at=LATER) == {}

    asyncio.run(check())


def test_who_was_taken_over_can_neither_renew_nor_end_the_lease(leases: Leases) -> None:
    asyncio.run(leases.acquire(MINE, now=NOW))
    asyncio.run(leases.acquire(THEIRS, now=LATER))
    assert asyncio.run(leases.renew([MINE], expires_at=LATER + timedelta(days=1))) == {}
    asyncio.run(leases.end(KEY, MINE.token))
    asyncio.run(leases.end(KEY, MINE.token, failure=FAILURE))
    assert asyncio.run(leases.find(KEY)) == THEIRS


def test_a_service_takes_what_its_earlier_life_held_at_once(leases: Leases) -> None:
    asyncio.run(leases.acquire(MINE, now=NOW))
    again = replace(MINE, token=LeaseToken("a2"))
    assert asyncio.run(leases.acquire(again, now=NOW)) == again


def test_a_lease_that_was_given_up_is_free(leases: Leases) -> None:
    asyncio.run(leases.acquire(MINE, now=NOW))
    asyncio.run(leases.end(KEY, MINE.token))
    assert asyncio.run(leases.find(KEY)) is None
    assert asyncio.run(leases.acquire(THEIRS, now=NOW)) == THEIRS


def test_a_failure_can_be_read_until_somebody_takes_the_lease(leases: Leases) -> None:
    asyncio.run(leases.acquire(MINE, now=NOW))
    asyncio.run(leases.end(KEY, MINE.token, failure=FAILURE, files="f1"))
    assert asyncio.run(leases.find(KEY)) == replace(MINE, failure=FAILURE, files="f1")
    assert not asyncio.run(leases.renew([MINE], expires_at=LATER))
    assert asyncio.run(leases.acquire(THEIRS, now=NOW)) == THEIRS


@pytest.mark.parametrize("failure", [None, FAILURE])
def test_a_watched_lease_is_given_up_only_by_who_knows_that_it_is(
    leases: Leases, failure: Failed | None
) -> None:
    asyncio.run(leases.acquire(MINE, now=NOW))
    assert asyncio.run(leases.watch(KEY, MINE.token))
    assert not asyncio.run(leases.end(KEY, MINE.token, failure=failure, watched=False))
    assert asyncio.run(leases.renew([MINE], expires_at=LATER)) == {MINE.token: replace(MINE, watched=True)}
    assert asyncio.run(leases.end(KEY, MINE.token, failure=failure))
    assert not asyncio.run(leases.watch(KEY, MINE.token)), "too late"
    assert not asyncio.run(leases.end(KEY, MINE.token))
    assert asyncio.run(leases.acquire(THEIRS, now=NOW)) == THEIRS, "nobody watches it yet"
    assert asyncio.run(leases.end(KEY, THEIRS.token, watched=False))


def test_what_expired_long_ago_is_swept_away_and_what_lives_is_not(leases: Leases) -> None:
    dead, alive = (replace(MINE, key=type(KEY)(digit * 64), token=LeaseToken(digit)) for digit in "cd")
    for lease in (MINE, dead, alive):
        asyncio.run(leases.acquire(lease, now=NOW))
    asyncio.run(leases.end(KEY, MINE.token, failure=FAILURE))
    renewed = LATER + timedelta(seconds=30)
    asyncio.run(leases.renew([alive], expires_at=renewed))

    assert not asyncio.run(leases.sweep(before=LATER))
    assert [asyncio.run(leases.find(lease.key)) is None for lease in (MINE, dead)] == [False, False]
    assert not asyncio.run(leases.sweep(before=LATER + timedelta(seconds=1)))
    assert [asyncio.run(leases.find(lease.key)) for lease in (MINE, dead)] == [None, None]
    assert asyncio.run(leases.find(alive.key)) == replace(alive, expires_at=renewed)


def test_many_leases_of_the_dead_are_swept_away_part_by_part(sqlite_database: Database) -> None:
    def leave(connection: Connection) -> None:
        values = {"owner": "o", "run_id": "1", "user": "u", "stage": "s", "files": "", "expires_at": NOW}
        rows = [{**values, "key": f"{number:064x}", "token": str(number)} for number in range(1_500)]
        connection.execute(insert(leases_table), rows)

    async def check() -> None:
        await sqlite_database.run(leave)
        leases = SqlLeases(sqlite_database)
        assert await leases.sweep(before=LATER)
        assert not await leases.sweep(before=LATER)
        assert await leases.find(type(KEY)("0" * 64)) is None

    asyncio.run(check())


def test_a_result_is_kept_only_while_its_lease_stands(kept: Kept) -> None:
    leases, cache = kept
    asyncio.run(leases.acquire(MINE, now=NOW))
    asyncio.run(leases.acquire(THEIRS, now=LATER))
    with pytest.raises(LeaseLost):
        asyncio.run(cache.publish(RESULT, fence=MINE.token))
    assert list(asyncio.run(cache.find(KEY))) == []
    asyncio.run(cache.publish(RESULT, fence=THEIRS.token))
    assert list(asyncio.run(cache.find(KEY))) == [RESULT]
    asyncio.run(leases.end(KEY, THEIRS.token))
    with pytest.raises(LeaseLost):
        asyncio.run(cache.publish(RESULT, fence=THEIRS.token))
