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
        with arrivals.arriving():
            with arrivals.arriving():
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
        with arrivals.arriving():
            async with asyncio.timeout(60):
                await arrivals.answered(at_most_s=0.01)

    asyncio.run(check())


def _fail(arrivals: Arrivals) -> None:
    with arrivals.arriving():
        raise ValueError("not like this")
