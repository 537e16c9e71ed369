import asyncio
from datetime import timedelta

import pytest

from tests.contract.test_leases import LATER, MINE, NOW, THEIRS
from tests.fakes.leases import FakeLeases
from tests.fakes.passed_output import FakePassedOutput
from wherry.service.adapters.leases_sql import SqlLeases
from wherry.service.adapters.passed_output_sql import SqlPassedOutput
from wherry.service.domain.task import AttemptId
from wherry.service.ports.leases import Leases
from wherry.service.ports.logs import LogStream
from wherry.service.ports.passed_output import OutputPart, PassedOutput

FIRST = OutputPart(number=1, attempt=None, lines=[(LogStream.SYSTEM, b"pulled the image")])
SECOND = OutputPart(
    number=2,
    attempt=AttemptId("a1"),
    lines=[
        (LogStream.STDOUT, "größer".encode()),
        (LogStream.STDERR, b"\xff\x00\\\r"),
        (LogStream.STDOUT, b""),
    ],
)

Passed = tuple[Leases, PassedOutput]


@pytest.fixture(params=["fake", "sqlite_database", "postgres_database"])
def both(request: pytest.FixtureRequest) -> Passed:
    """Leases, and what is passed on under them."""
    if request.param == "fake":
        leases = FakeLeases()
        return leases, FakePassedOutput(leases)
    database = request.getfixturevalue(request.param)
    return SqlLeases(database), SqlPassedOutput(database)


def test_parts_come_in_order_byte_for_byte_and_the_first_of_a_number_stays(both: Passed) -> None:
    _, passed = both

    async def check() -> None:
        await passed.add(MINE.token, SECOND, now=NOW)
        await passed.add(MINE.token, FIRST, now=NOW)
        await passed.add(MINE.token, OutputPart(number=2, attempt=None, lines=[]), now=NOW)
        assert await passed.read_after(MINE.token, 0, limit=9) == [FIRST, SECOND]
        assert await passed.read_after(MINE.token, 0, limit=1) == [FIRST]
        assert await passed.read_after(MINE.token, 1, limit=9) == [SECOND]
        assert await passed.read_after(MINE.token, 2, limit=9) == []
        assert await passed.read_after(THEIRS.token, 0, limit=9) == []

    asyncio.run(check())


def test_what_was_passed_on_goes_when_its_lease_is_long_over(both: Passed) -> None:
    leases, passed = both

    async def check() -> None:
        await leases.acquire(MINE, now=NOW)
        for lease in (MINE, THEIRS):
            await passed.add(lease.token, FIRST, now=NOW)
            await passed.add(lease.token, SECOND, now=LATER)
        assert not await passed.sweep(before=NOW)
        assert len(await passed.read_after(THEIRS.token, 0, limit=9)) == 2
        assert not await passed.sweep(before=LATER + timedelta(days=9))
        assert await passed.read_after(THEIRS.token, 0, limit=9) == []
        assert len(await passed.read_after(MINE.token, 0, limit=9)) == 2, "somebody may come to watch it"

    asyncio.run(check())
