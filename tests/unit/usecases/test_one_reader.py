"""What many need is read once, and those who waited go on together."""

import asyncio

import pytest

from wherry.service.usecases.one_reader import OneReader


def test_one_reads_for_all_and_they_go_on_in_one_round_of_the_loop() -> None:
    async def go() -> tuple[int, set[int]]:
        reader, there, may_read = OneReader(), set[str](), asyncio.Event()
        reads, rounds, went_on = 0, 0, dict[int, int]()

        async def read() -> None:
            nonlocal reads
            reads += 1
            await may_read.wait()
            there.add("params.yaml")

        async def stage(number: int) -> None:
            await reader.until(lambda: "params.yaml" in there, read)
            went_on[number] = rounds

        tasks = [asyncio.create_task(stage(number)) for number in range(50)]
        await asyncio.sleep(0)
        may_read.set()
        for _ in range(10):
            rounds += 1
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        del went_on[0]  # the one that read
        return reads, set(went_on.values())

    reads, rounds = asyncio.run(go())
    assert reads == 1
    assert len(rounds) == 1


def test_who_waited_for_a_read_that_failed_reads_again() -> None:
    async def go() -> list[object]:
        reader, there, tries = OneReader(), set[str](), 0

        async def read() -> None:
            nonlocal tries
            tries += 1
            await asyncio.sleep(0)
            if tries == 1:
                raise OSError("away")
            there.add("tree")

        return await asyncio.gather(
            *(reader.until(lambda: bool(there), read) for _ in range(3)), return_exceptions=True
        )

    first, *others = asyncio.run(go())
    assert isinstance(first, OSError)
    assert others == [None, None]


def test_a_reader_that_is_cancelled_leaves_the_reading_to_another() -> None:
    async def go() -> bool:
        reader, there, begun = OneReader(), set[str](), asyncio.Event()

        async def never() -> None:
            begun.set()
            await asyncio.Event().wait()

        async def read() -> None:
            there.add("tree")

        stuck = asyncio.create_task(reader.until(lambda: bool(there), never))
        await begun.wait()
        other = asyncio.create_task(reader.until(lambda: bool(there), read))
        await asyncio.sleep(0)
        stuck.cancel()
        await other
        with pytest.raises(asyncio.CancelledError):
            await stuck
        return bool(there)

    assert asyncio.run(go())
