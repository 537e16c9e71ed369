"""Containers that an earlier life of the service has started, on a real engine."""

import asyncio
import hashlib
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from tests.engine_fixtures import Bench, bench, engine
from wherry.service.domain.limits import LOG_BYTES_PER_STAGE_MAX
from wherry.service.ports.containers import Exit, Source

__all__ = ["bench", "engine"]


@pytest.mark.parametrize("state", ["it runs", "it has ended"])
def test_the_output_of_a_container_that_others_started_comes_from_the_first_byte(
    bench: Bench, state: str
) -> None:
    command = (
        "echo first; echo second >&2; printf 'no end'; while test -e hold; do sleep 0.05; done; echo last"
    )
    hold = bench.workspace / "hold"

    async def main() -> None:
        async with bench.created(bench.spec(command)) as container:
            hold.touch()
            started = bench.engine.start(container)
            await anext(started)
            await started.aclose()  # as when the service is killed: the container runs on
            if state == "it has ended":
                hold.unlink()
                await bench.engine.wait(container)
            written = {source: bytearray() for source in Source}
            async with aclosing(bench.engine.output(container)) as pieces:
                async for piece in pieces:
                    written[piece.source] += piece.data
                    if b"first" in written[Source.STDOUT]:
                        hold.unlink(missing_ok=True)
            ended = await bench.engine.wait(container)

            assert bytes(written[Source.STDOUT]) == b"first\nno endlast\n"
            assert bytes(written[Source.STDERR]) == b"second\n"
            assert ended == Exit(code=0, out_of_memory=False)
            assert ended.ran_s is not None

    asyncio.run(main())


def test_all_that_is_kept_of_a_stage_can_be_read_again_from_the_first_byte(bench: Bench) -> None:
    lines = LOG_BYTES_PER_STAGE_MAX // 1000 + 10_000

    async def main() -> None:
        async with bench.created(bench.spec(f"seq -f %0999.0f 1 {lines}")) as container:
            started = bench.engine.start(container)
            await anext(started)
            await started.aclose()  # the engine goes on reading
            found = hashlib.sha256()
            async with aclosing(bench.engine.output(container)) as pieces:
                async for piece in pieces:
                    found.update(piece.data)
            assert await bench.engine.wait(container) == Exit(code=0, out_of_memory=False)
            written = hashlib.sha256()
            for number in range(1, lines + 1):
                written.update(b"%0999d\n" % number)
            assert found.digest() == written.digest()

    asyncio.run(main())


def test_who_stops_reading_output_is_not_held_up_by_a_container_that_writes_nothing(bench: Bench) -> None:
    async def main() -> None:
        async with bench.created(bench.spec("echo first; sleep 600")) as container:
            await anext(started := bench.engine.start(container))
            await started.aclose()
            async with asyncio.timeout(60):
                async with aclosing(bench.engine.output(container)) as pieces:
                    assert (await anext(pieces)).data == b"first\n"

    asyncio.run(main())


def test_a_container_is_found_with_its_labels_and_whether_it_was_started(bench: Bench) -> None:
    async def main() -> None:
        async with bench.created(bench.spec("true")) as container:
            (made,) = await bench.engine.list_labelled(bench.labels)
            async with aclosing(bench.engine.start(container)) as pieces:
                async for _ in pieces:
                    pass
            (ended,) = await bench.engine.list_labelled(bench.labels)

            assert (made.id, made.has_started, ended.has_started) == (container, False, True)
            assert bench.labels.items() <= made.labels.items()
            assert abs((datetime.now(UTC) - made.created_at).total_seconds()) < 600

    asyncio.run(main())
