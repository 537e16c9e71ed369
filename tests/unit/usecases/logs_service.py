"""Runs, their logs, and who shows and clears these: for tests."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from tests.fakes.clock import FakeClock
from tests.fakes.logs_to_keep import FakeLogsToKeep
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.run_store import FakeRunStore
from tests.unit.usecases.driving import RaisingLog
from wherry.service.adapters.log_archive_objects import ObjectLogArchive
from wherry.service.adapters.logs_files import FileLogStore
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import Unavailable
from wherry.service.domain.run import NewRun, Run
from wherry.service.domain.states import State
from wherry.service.domain.task import RunId
from wherry.service.ports.clock import Clock
from wherry.service.ports.logs import LogStream, NewLine
from wherry.service.usecases.clear_logs import ClearLogs
from wherry.service.usecases.follow_run import FollowRun
from wherry.service.usecases.keep_logs import KeepLogs
from wherry.service.usecases.replay_log import ReplayLog

STAGES = (StageName("one"), StageName("two"), StageName("broken"))


class FlakyRuns(FakeRunStore):
    """Cannot be asked while it is told to be down."""

    is_down = False

    async def list_active(self) -> Sequence[Run]:
        if self.is_down:
            raise Unavailable("the database is away")
        return await super().list_active()


class Service:
    """Runs and their logs, and who clears these away."""

    def __init__(
        self, folder: Path, *, days: float = 30, bytes_max: int = 10**9, time: Clock | None = None
    ) -> None:
        self.clock, self.folder = FakeClock(), folder / "logs"
        self.time = time or self.clock
        self.runs, self.log = FlakyRuns(), RaisingLog()
        self.logs = FileLogStore(self.folder)
        self.archive = ObjectLogArchive(FakeObjectStore(), spool=folder)
        self.keep = KeepLogs(
            logs=self.logs, archive=self.archive, noted=FakeLogsToKeep(), clock=self.time, log=self.log
        )
        self.busy: set[RunId] = set()
        self.clear = ClearLogs(
            logs=self.logs,
            runs=self.runs,
            in_use=lambda: self.busy | self.keep.runs,
            age_max=timedelta(days=days),
            bytes_max=bytes_max,
            clock=self.time,
            log=self.log,
        )
        replay = ReplayLog(logs=self.logs, archive=self.archive, keep=self.keep, clock=self.time)
        self.follow = FollowRun(runs=self.runs, logs=self.logs, replay=replay)

    async def new_run(self, *, state: State = State.SUCCEEDED, text: bytes = b"said") -> RunId:
        new = NewRun(
            idempotency_key=str(len(self.runs.runs)),
            name="",
            project="p",
            user="ana",
            rev="",
            dirty=False,
            message="",
            created_at=self.time.now(),
            stages=STAGES,
        )
        run, _ = await self.runs.create(new)
        await self.write(run.id, "one", text)
        await self.runs.save_run(replace(run, state=state))
        return run.id

    async def write(self, run_id: RunId, stage: str, text: bytes) -> None:
        now = self.time.now()
        await self.logs.append(run_id, [NewLine(time=now, stage=stage, stream=LogStream.STDOUT, text=text)])
        os.utime(self.folder / f"{run_id}.jsonl", (now.timestamp(), now.timestamp()))

    async def kept(self) -> set[RunId]:
        return {log.run_id for log in await self.logs.list_kept()}

    async def shown(self, run: RunId, stage: str | None = None, after: int = 0) -> list[tuple[int, str, str]]:
        pages = [page async for page in self.follow.lines(run, stage=stage, after=after, follow=True)]
        assert pages[-1].is_last
        return [
            (line.sequence, line.line.stage, line.line.text.decode()) for page in pages for line in page.lines
        ]
