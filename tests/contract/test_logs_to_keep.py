"""What is on its way into the log archive is remembered until it is there."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.logs_to_keep import FakeLogsToKeep
from wherry.service.adapters.logs_to_keep_files import FileLogsToKeep
from wherry.service.domain.errors import Unavailable
from wherry.service.domain.task import LogName, RunId
from wherry.service.ports.log_archive import LogsToKeep, LogToKeep

LOG = LogToKeep(name=LogName("a1"), run_id=RunId("7"), stage="größer@0", after=3)


@pytest.fixture(params=["fake", "files"])
def noted(request: pytest.FixtureRequest, tmp_path: Path) -> LogsToKeep:
    return FakeLogsToKeep() if request.param == "fake" else FileLogsToKeep(tmp_path / "noted")


def test_what_is_noted_stays_until_it_is_forgotten(noted: LogsToKeep) -> None:
    other, newer = replace(LOG, name=LogName("b1"), after=0), replace(LOG, after=5)

    async def check() -> None:
        for log in (LOG, other, newer):
            await noted.note(log)
        assert await noted.list() == [newer, other]
        await noted.forget(LOG.name)
        await noted.forget(LogName("unknown"))
        assert await noted.list() == [other]

    asyncio.run(check())


def test_the_next_life_finds_it_and_what_was_cut_off_costs_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        await FileLogsToKeep(tmp_path).note(LOG)
        (tmp_path / "c1.json").write_text('{"run_id": "7", "st')
        (tmp_path / "d1.tmp").write_text("{")
        assert await FileLogsToKeep(tmp_path).list() == [LOG]

    asyncio.run(check())


def test_a_folder_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    noted = FileLogsToKeep(tmp_path / "noted")
    (tmp_path / "noted").rmdir()
    with pytest.raises(Unavailable, match="cannot be noted: No such file"):
        asyncio.run(noted.note(LOG))
