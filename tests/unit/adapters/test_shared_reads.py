"""Who asks for the same at nearly the same time has one answer, and never one from before a change."""

import asyncio

import pytest

from wherry.service.adapters.shared_reads import SharedReads


class Subject:
    """Something that changes and is read, by as many as like; counts how often."""

    def __init__(self) -> None:
        self.value, self.times = 1, 0
        self.fails = False

    async def read(self) -> int:
        self.times += 1
        value = self.value
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectionError
        return value


def test_a_thousand_cause_one_read() -> None:
    async def check() -> None:
        subject, reads = Subject(), SharedReads[int]()
        answers = await asyncio.gather(*(reads("run", "after 3", subject.read) for _ in range(1000)))
        assert (set(answers), subject.times) == ({1}, 1)
        assert await reads("run", "after 4", subject.read) == 1
        assert subject.times == 2

    asyncio.run(check())


def test_what_was_read_before_a_change_is_not_given_to_who_asks_after_it() -> None:
    async def check() -> None:
        subject, reads = Subject(), SharedReads[int]()
        before = asyncio.ensure_future(reads("run", "", subject.read))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert subject.times == 1
        subject.value = 2
        reads.changed("run")
        assert await reads("run", "", subject.read) == 2
        assert await before == 1

    asyncio.run(check())


def test_one_that_leaves_stops_nobody_and_a_failure_is_not_kept() -> None:
    async def check() -> None:
        subject, reads = Subject(), SharedReads[int]()
        leaving = asyncio.ensure_future(reads("run", "", subject.read))
        staying = asyncio.ensure_future(reads("run", "", subject.read))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == 1
        reads.changed("run")
        subject.fails = True
        with pytest.raises(ConnectionError):
            await reads("run", "", subject.read)
        subject.fails = False
        assert await reads("run", "", subject.read) == 1

    asyncio.run(check())


def test_answers_are_not_held_for_long() -> None:
    async def check() -> None:
        subject, reads = Subject(), SharedReads[int]()
        for number in range(10):
            await reads(number, "", subject.read)
        assert len(reads) == 10
        async with asyncio.timeout(60):
            while len(reads):  # noqa: ASYNC110 - nothing tells of it: that is the point
                await asyncio.sleep(0.05)

    asyncio.run(check())
