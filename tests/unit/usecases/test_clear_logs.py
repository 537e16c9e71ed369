"""Logs of ended runs are cleared away, by age and by size; what is kept with results is still shown."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

from tests.fakes.virtual_time import LoopClock, VirtualLoop
from tests.unit.usecases.logs_service import Service
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import StageRecord
from wherry.service.domain.states import CacheUse, State
from wherry.service.domain.task import LogName, RunId
from wherry.service.ports.log_archive import LogToKeep
from wherry.service.usecases.hourly import Hourly

DAY_S = 24 * 3600.0


async def serving(service: Service, action: Callable[[Service], Coroutine[None, None, None]]) -> None:
    try:
        await action(service)
    finally:
        await service.keep.close()
        service.archive.close()
        service.logs.close()


def serve(
    folder: Path, action: Callable[[Service], Coroutine[None, None, None]], *, bytes_max: int = 10**9
) -> None:
    asyncio.run(serving(Service(folder, bytes_max=bytes_max), action))


def test_logs_go_by_age_and_never_those_of_runs_that_go_on(tmp_path: Path) -> None:
    async def check(service: Service) -> None:
        ended, going = await service.new_run(), await service.new_run(state=State.RUNNING)
        copied = await service.new_run()
        service.busy = {copied}
        service.clock.advance(29 * DAY_S)
        young = await service.new_run()

        await service.clear()
        before = await service.kept()
        service.clock.advance(2 * DAY_S)
        await service.clear()

        assert before == {ended, going, copied, young}
        assert await service.kept() == {going, copied, young}

    serve(tmp_path, check)


def test_beyond_the_bound_the_oldest_go_first(tmp_path: Path) -> None:
    async def check(service: Service) -> None:
        runs = []
        for number in range(5):
            state = State.RUNNING if number == 0 else State.SUCCEEDED
            runs.append(await service.new_run(state=state, text=b"x" * 10_000))
            service.clock.advance(60)

        await service.clear()

        # The oldest goes on; of the rest as many stay as there is room for.
        assert await service.kept() == {runs[0], runs[3], runs[4]}

    serve(tmp_path, check, bytes_max=35_000)


def test_it_is_done_at_the_start_and_every_hour_whatever_failed_until_it_is_closed(tmp_path: Path) -> None:
    async def check(service: Service) -> None:
        await service.new_run()
        await asyncio.sleep(3600)
        clearing = Hourly(
            service.clear, name="clear", trouble="it cannot be done", clock=service.time, log=service.log
        )
        clearing.start()
        await asyncio.sleep(1)
        after_start = await service.kept()

        second = await service.new_run()
        service.runs.is_down = True
        await asyncio.sleep(3700)
        after_failure = await service.kept()
        service.runs.is_down = False
        await asyncio.sleep(3600)
        after_recovery = await service.kept()
        await clearing.close()

        third = await service.new_run()
        await asyncio.sleep(7200)

        assert after_start == set()
        assert after_failure == {second}
        assert after_recovery == set()
        assert await service.kept() == {third}
        assert service.log.problems == ["it cannot be done"]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(serving(Service(tmp_path, days=1 / 48, time=LoopClock()), check))


def test_a_log_that_is_being_read_stays_until_the_next_time(tmp_path: Path) -> None:
    async def check(service: Service) -> None:
        run = await service.new_run()
        waiting = asyncio.create_task(service.logs.wait_for_lines(run, 1, 60))
        await asyncio.sleep(0)

        assert not await service.logs.clear(run)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await service.logs.clear(run)
        assert await service.logs.was_cleared(run)

    serve(tmp_path, check)


def test_of_a_cleared_run_that_is_shown_which_is_kept_with_its_results(tmp_path: Path) -> None:
    async def check(service: Service) -> None:
        run = await service.new_run(text=b"one 1")
        for stage, text in (("two", b"two 1"), ("one", b"one 2"), ("broken", b"broken 1"), ("two", b"two 2")):
            await service.write(run, stage, text)
        for name in ("one", "two"):
            await service.keep.start(LogToKeep(name=LogName(name), run_id=run, stage=name, after=0))
            await service.keep.settle(LogName(name))
        records = [
            StageRecord(name=StageName(name), state=State.SUCCEEDED, cache=CacheUse.MISS, log=LogName(name))
            for name in ("one", "two")
        ]
        await service.runs.save_stages(run, records)
        service.clock.advance(31 * DAY_S)
        await service.clear()

        said, *lines = await service.shown(run)
        numbers = [number for number, _, _ in lines]

        assert "cleared away" in said[2]
        assert [line[1:] for line in lines] == [
            ("one", "one 1"),
            ("one", "one 2"),
            ("two", "two 1"),
            ("two", "two 2"),
        ]
        assert [said[0], *numbers] == sorted({said[0], *numbers})
        # From any place on, as after a connection that broke.
        for place, number in enumerate(numbers):
            assert await service.shown(run, after=number) == lines[place + 1 :]
        assert [line[2] for line in (await service.shown(run, "two"))[1:]] == ["two 1", "two 2"]
        assert len(await service.shown(run, "broken")) == 1
        # What was never written was not cleared away.
        assert not await service.logs.was_cleared(RunId("77"))

    serve(tmp_path, check)


def test_a_service_that_starts_again_knows_what_was_cleared(tmp_path: Path) -> None:
    async def clear(service: Service) -> None:
        await service.logs.clear(await service.new_run())

    async def check(service: Service) -> None:
        assert await service.logs.was_cleared(RunId("1"))
        assert await service.kept() == set()

    serve(tmp_path, clear)
    serve(tmp_path, check)
