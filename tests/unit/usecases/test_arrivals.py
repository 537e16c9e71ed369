"""Runs begin when those who submit have their answers, or after a while."""

import asyncio

import pytest

from wherry.service.usecases.arrivals import Arrivals


def test_where_nobody_submits_nothing_is_waited_for() -> None:
    async def check() -> None:
        waiting = asyncio.create_task(Arrivals().answered(at_most_s=60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert waiting.done()

    asyncio.run(check())


def test_the_last_who_is_answered_lets_runs_begin() -> None:
    async def check() -> None:
        arrivals = Arrivals()
        with arrivals.arriving("ana"):
            with arrivals.arriving("ben"):
                waiting = asyncio.create_task(arrivals.answered(at_most_s=600))
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
        async with asyncio.timeout(60):
            await waiting

    asyncio.run(check())


def test_one_whose_submission_fails_is_not_waited_for() -> None:
    async def check() -> None:
        arrivals = Arrivals()
        with pytest.raises(ValueError, match="not like this"):
            _fail(arrivals)
        async with asyncio.timeout(60):
            await arrivals.answered(at_most_s=600)

    asyncio.run(check())


def test_there_may_always_be_somebody_and_runs_begin_all_the_same() -> None:
    async def check() -> None:
        arrivals = Arrivals()
        with arrivals.arriving("ana"):
            async with asyncio.timeout(60):
                await arrivals.answered(at_most_s=0.01)

    asyncio.run(check())


def test_who_was_told_what_to_provide_is_waited_for_until_they_are_answered_again() -> None:
    async def check() -> None:
        arrivals = Arrivals()
        with arrivals.arriving("ana"):
            arrivals.expect("ana", within_s=600)
        waiting = asyncio.create_task(arrivals.answered(at_most_s=600))
        await _turns()
        assert not waiting.done()
        with arrivals.arriving("ben"):
            """Somebody else comes and goes."""
        await _turns()
        assert not waiting.done()
        with arrivals.arriving("ana"):
            await _turns()
            assert not waiting.done()
        async with asyncio.timeout(60):
            await waiting

    asyncio.run(check())


def test_who_does_not_come_again_is_not_waited_for_for_long() -> None:
    async def check() -> None:
        arrivals = Arrivals()
        with arrivals.arriving("ana"):
            arrivals.expect("ana", within_s=0.01)
            arrivals.expect("ana", within_s=0.01)
        async with asyncio.timeout(60):
            await arrivals.answered(at_most_s=600)

    asyncio.run(check())


async def _turns() -> None:
    """Let whoever can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def _fail(arrivals: Arrivals) -> None:
    with arrivals.arriving("ana"):
        raise ValueError("not like this")
