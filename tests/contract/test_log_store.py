"""Lines of runs, kept in order."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.service.adapters.logs_files import FileLogStore
from wherry.service.domain.errors import RunUnknown
from wherry.service.domain.task import RunId
from wherry.service.ports.logs import LogLine, LogStream, NewLine

_T = TypeVar("_T")

RUN = RunId("7")
TIME = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DEADLINE_S = 30


def line(text: bytes, stage: str = "train", stream: LogStream = LogStream.STDOUT) -> NewLine:
    return NewLine(time=TIME, stage=stage, stream=stream, text=text)


def numbered(start: int, count: int, stage: str = "train") -> list[NewLine]:
    return [line(f"line {number}".encode(), stage) for number in range(start, start + count)]


def with_store(root: Path, action: Callable[[FileLogStore], Coroutine[Any, Any, _T]]) -> _T:
    async def run() -> _T:
        store = FileLogStore(root)
        try:
            return await action(store)
        finally:
            store.close()

    return asyncio.run(run())


async def read_all(store: FileLogStore, stage: str | None = None, limit: int = 100_000) -> Sequence[LogLine]:
    return await store.read_after(RUN, 0, stage=stage, limit=limit)


def test_lines_come_back_as_they_were_numbered_from_one(tmp_path: Path) -> None:
    written = [
        line(b"plain"),
        line(b"", "", LogStream.SYSTEM),
        NewLine(
            time=TIME + timedelta(microseconds=1),
            stage='pré"p\\\n@1',
            stream=LogStream.STDERR,
            text=b"\xff\0\r",
        ),
        line("größer \u2028 \U0001f600".encode()),
    ]

    async def check(store: FileLogStore) -> Sequence[LogLine]:
        await store.append(RUN, written[:1])
        await store.append(RUN, [])
        await store.append(RUN, written[1:])
        assert await store.last_sequence(RUN) == 4
        return await read_all(store)

    expected = [LogLine(sequence=at, line=kept) for at, kept in enumerate(written, 1)]
    assert list(with_store(tmp_path, check)) == expected
    assert list(with_store(tmp_path, read_all)) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=50).filter(lambda text: b"\n" not in text), min_size=1))
def test_any_bytes_survive(tmp_path_factory: pytest.TempPathFactory, texts: list[bytes]) -> None:
    async def check(store: FileLogStore) -> list[bytes]:
        await store.append(RUN, [line(text) for text in texts])
        return [kept.line.text for kept in await read_all(store)]

    assert with_store(tmp_path_factory.mktemp("log"), check) == texts


def test_pages_join_without_gap_or_repetition(tmp_path: Path) -> None:
    async def check(store: FileLogStore) -> None:
        await store.append(RUN, numbered(1, 5000))
        for limit in (1700, 3000):
            seen: list[LogLine] = []
            while page := await store.read_after(
                RUN, seen[-1].sequence if seen else 0, stage=None, limit=limit
            ):
                assert len(page) <= limit
                seen += page
            assert [kept.sequence for kept in seen] == list(range(1, 5001))
            assert seen[4321].line.text == b"line 4322"

    with_store(tmp_path, check)


def test_one_stage_can_be_followed_while_others_write(tmp_path: Path) -> None:
    async def check(store: FileLogStore) -> None:
        seen: list[bytes] = []
        last = 0
        for part in range(30):
            await store.append(RUN, [*numbered(0, 100, "noise"), *numbered(0, 100, "train2")])
            if part % 7 == 3:
                await store.append(RUN, [line(f"{part}".encode())])
            for kept in await store.read_after(RUN, last, stage="train", limit=10):
                last = kept.sequence
                seen.append(kept.line.text)
            # Another place to read from, so that places are not mixed up.
            back = max(last - 150, 0)
            assert (await store.read_after(RUN, back, stage="noise", limit=1))[0].line.stage == "noise"
        assert seen == [b"3", b"10", b"17", b"24"]

    with_store(tmp_path, check)


@pytest.mark.parametrize("stage", [None, "train", "silent"])
def test_a_follower_does_not_read_again_what_it_has_passed(tmp_path: Path, stage: str | None) -> None:
    async def check(store: FileLogStore) -> list[int]:
        await store.append(RUN, numbered(1, 3000))
        last = 0
        while page := await store.read_after(RUN, last, stage=stage, limit=1000):
            last = page[-1].sequence
        _spoil(tmp_path / f"{RUN}.jsonl")
        await store.append(RUN, [*numbered(3001, 1), *numbered(3002, 1, "silent")])
        return [kept.sequence for kept in await store.read_after(RUN, last, stage=stage, limit=10)]

    expected = {None: [3001, 3002], "train": [3001], "silent": [3002]}
    assert with_store(tmp_path, check) == expected[stage]


def _spoil(path: Path) -> None:
    """Who reads what was there gets nothing right."""
    with path.open("r+b") as file:
        file.write(b"?" * path.stat().st_size)


@pytest.mark.parametrize("seed", range(5))
def test_reads_from_anywhere_agree_with_a_list(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    stages = ["a", "b", ""]

    async def check(store: FileLogStore) -> None:
        kept: list[LogLine] = []
        for _ in range(60):
            new = [
                line(b"%d" % chance.randrange(10**9), chance.choice(stages))
                for _ in range(chance.randrange(150))
            ]
            await store.append(RUN, new)
            kept += [LogLine(sequence=len(kept) + at, line=one) for at, one in enumerate(new, 1)]
            for _ in range(5):
                after, limit = chance.randrange(len(kept) + 3), chance.randrange(1, 40)
                stage = chance.choice([*stages, None, "none such"])
                wanted = [one for one in kept[after:] if stage is None or one.line.stage == stage][:limit]
                assert list(await store.read_after(RUN, after, stage=stage, limit=limit)) == wanted

    with_store(tmp_path, check)


def test_concurrent_writers_do_not_interleave(tmp_path: Path) -> None:
    async def check(store: FileLogStore) -> Sequence[LogLine]:
        await asyncio.gather(*[store.append(RUN, numbered(0, 20, f"s{writer}")) for writer in range(50)])
        return await read_all(store)

    lines = with_store(tmp_path, check)
    assert [kept.sequence for kept in lines] == list(range(1, 1001))
    for start in range(0, 1000, 20):
        part = [kept.line for kept in lines[start : start + 20]]
        assert part == numbered(0, 20, part[0].stage)


def test_a_cancelled_writer_leaves_whole_lines_and_right_numbers(tmp_path: Path) -> None:
    async def check(store: FileLogStore) -> int:
        for _ in range(30):
            writer = asyncio.create_task(store.append(RUN, numbered(0, 10)))
            await asyncio.sleep(0)
            writer.cancel()
            await asyncio.wait([writer])
        await store.append(RUN, [line(b"last")])
        lines = await read_all(store)
        assert [kept.sequence for kept in lines] == list(range(1, len(lines) + 1))
        assert lines[-1].line.text == b"last"
        return len(lines)

    assert len(with_store(tmp_path, read_all)) == 0
    count = with_store(tmp_path, check)
    assert len(with_store(tmp_path, read_all)) == count


def test_after_a_crash_in_the_middle_of_a_write_numbering_goes_on(tmp_path: Path) -> None:
    with_store(tmp_path, lambda store: store.append(RUN, numbered(1, 3)))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 3 - 5])

    async def check(store: FileLogStore) -> Sequence[LogLine]:
        assert await store.last_sequence(RUN) == 3
        await store.append(RUN, [line(b"line 4")])
        return await read_all(store)

    assert [(kept.sequence, kept.line.text) for kept in with_store(tmp_path, check)] == [
        (number, b"line %d" % number) for number in range(1, 5)
    ]


def test_an_unknown_run_has_no_lines_and_gets_no_file(tmp_path: Path) -> None:
    async def check(store: FileLogStore) -> None:
        assert await store.last_sequence(RUN) == 0
        assert not await read_all(store)
        await store.wait_for_lines(RUN, 0, 0.01)

    with_store(tmp_path, check)
    assert list(tmp_path.iterdir()) == []


def test_waiting_ends_when_a_line_after_the_one_seen_exists(tmp_path: Path) -> None:
    async def check(store: FileLogStore) -> None:
        await store.append(RUN, numbered(1, 2))
        await store.wait_for_lines(RUN, 1, DEADLINE_S)  # there already
        waiting = [asyncio.create_task(store.wait_for_lines(RUN, 3, 10 * DEADLINE_S)) for _ in range(3)]
        await store.append(RUN, numbered(3, 1))
        assert not any(waiter.done() for waiter in waiting)
        await store.append(RUN, numbered(4, 1))
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*waiting)

    with_store(tmp_path, check)


def test_waiting_ends_when_time_is_up(tmp_path: Path) -> None:
    async def check(store: FileLogStore) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await store.wait_for_lines(RUN, 0, 0.02)

    with_store(tmp_path, check)


def test_a_follower_survives_many_other_runs(tmp_path: Path) -> None:
    async def check(store: FileLogStore) -> None:
        waiting = asyncio.create_task(store.wait_for_lines(RUN, 0, 10 * DEADLINE_S))
        for number in range(1000, 1600):  # more than are remembered
            await store.append(RunId(str(number)), numbered(1, 1))
        await store.append(RUN, numbered(1, 1))
        async with asyncio.timeout(DEADLINE_S):
            await waiting
        assert await store.last_sequence(RunId("1000")) == 1

    with_store(tmp_path, check)


@pytest.mark.parametrize("run", ["../x", "", "a/b", "x" * 65, "."])
def test_only_a_runs_number_names_a_file(tmp_path: Path, run: str) -> None:
    with pytest.raises(RunUnknown):
        with_store(tmp_path / "logs", lambda store: store.append(RunId(run), numbered(1, 1)))
