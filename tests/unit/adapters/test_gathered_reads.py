"""What many ask at once costs one query, and nobody gets an answer older than the question."""

import asyncio
from collections.abc import Collection

from wherry.service.adapters.gathered_reads import GatheredReads


class Table:
    """Counts its queries; each waits until it is let go."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.version = 0
        self.gate = asyncio.Event()
        self.broken = False

    async def read(self, keys: Collection[str]) -> dict[str, int]:
        self.asked.append(set(keys))
        version = self.version
        await self.gate.wait()
        if self.broken:
            raise OSError
        return dict.fromkeys(keys, version)


def test_questions_of_one_moment_and_of_the_time_of_a_query_go_together() -> None:
    async def check() -> list[set[str]]:
        table = Table()
        read = GatheredReads(table.read)
        first = [asyncio.create_task(read({name})) for name in "abc"]
        await asyncio.sleep(0.01)
        table.version = 1
        later = [asyncio.create_task(read({name})) for name in "cd"]
        await asyncio.sleep(0.01)
        table.gate.set()
        answers = await asyncio.gather(*first, *later)

        assert [answer[name] for answer, name in zip(answers, "abccd", strict=True)] == [0, 0, 0, 1, 1]
        return table.asked

    assert asyncio.run(check()) == [{"a", "b", "c"}, {"c", "d"}]


def test_who_leaves_takes_nothing_from_the_others() -> None:
    async def check() -> dict[str, int]:
        table = Table()
        read = GatheredReads(table.read)
        leaving, staying = asyncio.create_task(read({"a"})), asyncio.create_task(read({"b"}))
        await asyncio.sleep(0.01)
        leaving.cancel()
        table.gate.set()
        return await staying

    assert asyncio.run(check())["b"] == 0


def test_a_failure_is_told_to_all_who_waited_and_to_nobody_else() -> None:
    async def check() -> None:
        table = Table()
        table.broken = True
        table.gate.set()
        read = GatheredReads(table.read)
        failed = await asyncio.gather(read({"a"}), read({"b"}), return_exceptions=True)
        assert [type(one) for one in failed] == [OSError, OSError]
        table.broken = False
        assert await read({"c"}) == {"c": 0}

    asyncio.run(check())


def test_many_at_once_are_one_query() -> None:
    async def check() -> int:
        table = Table()
        table.gate.set()
        read = GatheredReads(table.read)
        await asyncio.gather(*(read({str(number)}) for number in range(300)))
        return len(table.asked)

    assert asyncio.run(check()) == 1
