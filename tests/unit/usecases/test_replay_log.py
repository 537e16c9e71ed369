"""What a known result's command wrote, shown in another run."""

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.fakes.clock import FakeClock
from tests.fakes.logs_to_keep import FakeLogsToKeep
from tests.fakes.object_store import FakeObjectStore
from tests.unit.usecases.driving import RaisingLog
from wherry.service.adapters.log_archive_objects import ObjectLogArchive
from wherry.service.adapters.logs_files import FileLogStore
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import StageRecord
from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import AttemptId, LogName, RunId
from wherry.service.ports.log_archive import LogToKeep
from wherry.service.ports.logs import LogLine, LogStream, NewLine
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.replay_log import REPLAYED_FROM, ReplayLog

NAME = LogName("attempt")
HIT = StageRecord(name=StageName("mine"), cache=CacheUse.HIT, log=NAME)
RUN = RunId("1")
MINE = RunId("2")
TO_KEEP = LogToKeep(name=NAME, run_id=RUN, stage="theirs", after=0)


class Shelf:
    """Logs of runs, and of results."""

    def __init__(self, folder: Path) -> None:
        self.objects, self.log, self.clock = FakeObjectStore(), RaisingLog(), FakeClock()
        self.logs, self.noted = FileLogStore(folder / "logs"), FakeLogsToKeep()
        self.archive = ObjectLogArchive(self.objects, spool=folder)
        self.begin()

    def begin(self) -> None:
        """Begin a life."""
        self.keep = KeepLogs(
            logs=self.logs, archive=self.archive, noted=self.noted, clock=self.clock, log=self.log
        )
        self.replay = ReplayLog(logs=self.logs, archive=self.archive, keep=self.keep, clock=self.clock)

    async def write(self, *texts: bytes) -> None:
        await self.append(RUN, "theirs", *((LogStream.STDOUT, text) for text in texts))

    async def append(self, run_id: RunId, stage: str, *said: tuple[LogStream, bytes]) -> None:
        now = self.clock.now()
        lines = [NewLine(time=now, stage=stage, stream=stream, text=text) for stream, text in said]
        await self.logs.append(run_id, lines)

    async def shown(self, record: StageRecord = HIT, *, after: int = 0) -> list[LogLine]:
        return [line async for page in self.replay(MINE, record, after=after) for line in page]

    async def close(self) -> None:
        await self.keep.close()
        self.archive.close()
        self.logs.close()


def test_lines_are_shown_under_the_name_that_the_stage_has_here(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)
        await shelf.write(b"of an earlier attempt", b"epoch 1", b"epoch 2")
        await shelf.keep.start(replace(TO_KEEP, after=1))

        # At once: what is still on its way is waited for.
        shown = await shelf.shown()
        later = await shelf.shown(after=shown[0].sequence)
        await shelf.close()

        assert [(line.line.stage, line.line.text) for line in shown] == [
            ("mine", b"epoch 1"),
            ("mine", b"epoch 2"),
        ]
        assert all(line.sequence > REPLAYED_FROM for line in shown)
        assert later == shown[1:]

    asyncio.run(check())


def test_who_was_waiting_for_the_result_is_shown_each_line_once(tmp_path: Path) -> None:
    out, err, said = LogStream.STDOUT, LogStream.STDERR, LogStream.SYSTEM

    async def check() -> None:
        shelf = Shelf(tmp_path)
        await shelf.append(
            RUN, "theirs", (said, b"$ fit"), (out, b"1"), (err, b"warm"), (out, b"1"), (out, b"2")
        )
        await shelf.keep.start(TO_KEEP)
        await shelf.append(
            MINE, "mine", (said, b"attached"), (said, b"$ fit"), (said, b"our own"), (out, b"1")
        )
        attached = replace(HIT, attempt_id=AttemptId(NAME), output_after=1)

        shown = await shelf.shown(attached)
        later = [await shelf.shown(attached, after=line.sequence) for line in shown]
        of_another = await shelf.shown(replace(attached, attempt_id=AttemptId("another")))
        await shelf.close()

        assert [line.line.text for line in shown] == [b"warm", b"1", b"2"]
        assert later == [shown[1:], shown[2:], []]
        assert len(of_another) == 5

    asyncio.run(check())


def test_output_that_is_gone_is_said_to_be_once(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)

        said = await shelf.shown()
        again = await shelf.shown(after=said[0].sequence)
        await shelf.close()

        assert [line.line.text for line in said] == [b"what the command wrote is not kept any more (attempt)"]
        assert again == []

    asyncio.run(check())


def test_a_store_that_is_down_delays_the_log_and_not_the_result(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)
        await shelf.write(b"epoch 1")
        shelf.objects.is_down = True
        await shelf.keep.start(TO_KEEP)
        await shelf.keep.settle(NAME)
        busy = shelf.keep.runs
        shelf.objects.is_down = False
        async with asyncio.timeout(60):
            while shelf.noted.noted:
                shelf.clock.advance(1)
                await asyncio.sleep(0.001)

        assert busy == {RUN}
        assert shelf.log.problems == ["the output of a result is not kept yet"]
        assert [line.line.text for line in await shelf.shown()] == [b"epoch 1"]
        await shelf.close()

    asyncio.run(check())


def test_a_service_that_ends_before_the_log_is_kept_goes_on_with_it_in_its_next_life(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)
        await shelf.write(b"epoch 1")
        shelf.objects.is_down = True
        await shelf.keep.start(TO_KEEP)
        await shelf.keep.settle(NAME)
        await shelf.keep.close()  # nobody waits for the store
        shelf.objects.is_down = False
        shelf.begin()
        await shelf.keep.resume()

        assert [line.line.text for line in await shelf.shown()] == [b"epoch 1"]
        await shelf.close()
        assert shelf.noted.noted == {}

    asyncio.run(check())


def test_what_is_noted_of_a_log_that_was_cleared_away_is_forgotten(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)
        await shelf.write(b"epoch 1")
        await shelf.noted.note(TO_KEEP)
        assert await shelf.logs.clear(RUN)
        await shelf.keep.resume()
        await shelf.close()

        assert (shelf.noted.noted, shelf.objects.objects) == ({}, {})

    asyncio.run(check())


def test_a_stage_that_ran_here_shows_nothing_of_others(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)
        record = StageRecord(name=StageName("mine"), cache=CacheUse.MISS, log=NAME)

        assert await shelf.shown(record) == []
        await shelf.close()

    asyncio.run(check())
