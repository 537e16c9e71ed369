"""What a known result's command wrote, shown in another run."""

import asyncio
from pathlib import Path

from tests.fakes.clock import FakeClock
from tests.fakes.object_store import FakeObjectStore
from tests.unit.usecases.driving import RaisingLog
from wherry.service.adapters.log_archive_objects import ObjectLogArchive
from wherry.service.adapters.logs_files import FileLogStore
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.run import StageRecord
from wherry.service.domain.states import CacheUse
from wherry.service.domain.task import LogName, RunId
from wherry.service.ports.logs import LogLine, LogStream, NewLine
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.replay_log import REPLAYED_FROM, ReplayLog

NAME = LogName("attempt")
HIT = StageRecord(name=StageName("mine"), cache=CacheUse.HIT, log=NAME)
RUN = RunId("1")


class Shelf:
    """Logs of runs, and of results."""

    def __init__(self, folder: Path) -> None:
        self.objects, self.log, clock = FakeObjectStore(), RaisingLog(), FakeClock()
        self.logs = FileLogStore(folder / "logs")
        self.archive = ObjectLogArchive(self.objects, spool=folder)
        self.keep = KeepLogs(logs=self.logs, archive=self.archive, log=self.log)
        self.replay = ReplayLog(archive=self.archive, keep=self.keep, clock=clock)
        self._clock = clock

    async def write(self, *texts: bytes) -> None:
        lines = [
            NewLine(time=self._clock.now(), stage="theirs", stream=LogStream.STDOUT, text=text)
            for text in texts
        ]
        await self.logs.append(RUN, lines)

    async def shown(self, record: StageRecord = HIT, *, after: int = 0) -> list[LogLine]:
        return [line async for page in self.replay(record, after=after) for line in page]

    async def close(self) -> None:
        await self.keep.close()
        self.archive.close()
        self.logs.close()


def test_lines_are_shown_under_the_name_that_the_stage_has_here(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)
        await shelf.write(b"of an earlier attempt", b"epoch 1", b"epoch 2")
        shelf.keep.start(NAME, run_id=RUN, stage="theirs", after=1)

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


def test_output_that_is_gone_is_said_to_be_once(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)

        said = await shelf.shown()
        again = await shelf.shown(after=said[0].sequence)
        await shelf.close()

        assert [line.line.text for line in said] == [b"what the command wrote is not kept any more (attempt)"]
        assert again == []

    asyncio.run(check())


def test_a_store_that_is_down_costs_the_log_and_not_the_result(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)
        await shelf.write(b"epoch 1")
        shelf.objects.is_down = True
        shelf.keep.start(NAME, run_id=RUN, stage="theirs", after=0)
        await shelf.close()

        assert shelf.log.problems == ["the output of a result was not kept"]

    asyncio.run(check())


def test_a_stage_that_ran_here_shows_nothing_of_others(tmp_path: Path) -> None:
    async def check() -> None:
        shelf = Shelf(tmp_path)
        record = StageRecord(name=StageName("mine"), cache=CacheUse.MISS, log=NAME)

        assert await shelf.shown(record) == []
        await shelf.close()

    asyncio.run(check())
