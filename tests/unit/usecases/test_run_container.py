"""A container that an earlier life of the service started keeps its time limit, and tells what may be missing."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import cast

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.fakes.virtual_time import VirtualLoop
from wherry.service.domain.errors import EngineUnavailable
from wherry.service.domain.task import AttemptId
from wherry.service.domain.usage import Usage
from wherry.service.ports.containers import ContainerEngine, ContainerId, Exit, OutputPiece, Source
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver
from wherry.service.ports.workspaces import Workspaces
from wherry.service.usecases.disk_limit import DiskLimit
from wherry.service.usecases.remains import Remains
from wherry.service.usecases.run_container import Ended, RunContainer

MIB = 1024 * 1024
# Few and long, so that it is quick: what a line takes besides its bytes hardly counts.
_MIB_OF_LINES = (b"x" * 16383 + b"\n") * 64


class OldContainer:
    """Was started long ago, and runs until it is stopped, unless it has ended meanwhile."""

    def __init__(self, *, age_s: float, ended_after_s: float | None) -> None:
        self.age = age_s
        self.ended_after_s = ended_after_s
        self.over = asyncio.Event()
        if ended_after_s is not None:
            self.over.set()

    async def age_s(self, _container: ContainerId) -> float:
        return self.age

    async def output(self, _container: ContainerId) -> AsyncGenerator[OutputPiece]:
        await self.over.wait()
        # A container that has ended long ago still has to be asked: others go on meanwhile.
        await asyncio.sleep(0.01)
        yield OutputPiece(Source.STDOUT, b"the end\n")

    async def wait(self, _container: ContainerId) -> Exit:
        ran_s = self.age if self.ended_after_s is None else self.ended_after_s
        return Exit(code=143 if self.ended_after_s is None else 0, out_of_memory=False, ran_s=ran_s)

    async def stop(self, _container: ContainerId, *, grace_s: float) -> None:
        assert grace_s > 0
        self.over.set()

    async def usage(self, _container: ContainerId) -> Usage:
        return Usage()


class Listener:
    """Hears what the container writes."""

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        assert (stream, lines) == (LogStream.STDOUT, [b"the end"])


class EmptyFolders:
    """Workspaces to which nothing is written."""

    async def measure(self, _workspace: Path) -> int:
        return 0


async def resume(container: OldContainer, heard: object, workspace: Path) -> Ended:
    engine = cast(ContainerEngine, container)
    clock, workspaces = FakeClock(), cast(Workspaces, EmptyFolders())
    remains = Remains(engine=engine, workspaces=workspaces, clock=FakeClock(), log=FakeEventLog())
    disk = DiskLimit(engine=engine, workspaces=workspaces, clock=clock, free_bytes=lambda: 2**40)
    run = RunContainer(engine=engine, clock=clock, disk=disk, remains=remains)
    async with asyncio.timeout(60):
        return await run.resume(
            ContainerId("c"),
            AttemptId("a"),
            cast(StageObserver, heard),
            workspace=workspace,
            secrets={},
            timeout_s=30.0,
        )


class LongOutput(OldContainer):
    """Has ended after it wrote so much."""

    def __init__(self, size: int) -> None:
        super().__init__(age_s=1.0, ended_after_s=1.0)
        self._size = size

    async def output(self, _container: ContainerId) -> AsyncGenerator[OutputPiece]:
        for _ in range(self._size // MIB):
            yield OutputPiece(Source.STDOUT, _MIB_OF_LINES)


class Remarks:
    """Hears what is said of the output, and nothing of the output."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        if stream is LogStream.SYSTEM:
            self.said += lines


@pytest.mark.parametrize("size", [200 * MIB, 256 * MIB])
def test_output_of_which_the_engine_may_have_dropped_some_is_said_to_be_so_once(
    tmp_path: Path, size: int
) -> None:
    heard = Remarks()
    asyncio.run(resume(LongOutput(size), heard, tmp_path))

    doubts = [said for said in heard.said if b"may be missing" in said]
    assert len(doubts) == (size >= 256 * MIB)


@pytest.mark.parametrize(
    ("age_s", "ended_after_s", "timed_out"),
    [(100.0, None, True), (100.0, 20.0, False), (100.0, 31.0, True)],
    ids=["still runs", "ended in time", "ended too late"],
)
def test_time_that_passed_while_nobody_looked_counts(
    tmp_path: Path, age_s: float, ended_after_s: float | None, timed_out: bool
) -> None:
    container = OldContainer(age_s=age_s, ended_after_s=ended_after_s)
    ended = asyncio.run(resume(container, Listener(), tmp_path))

    assert (ended.timed_out, ended.wall_s) == (timed_out, ended_after_s or age_s)


class NotStartedYet(OldContainer):
    """The engine has taken the call to start it, and is asked to stop it before it has done so: that changes nothing."""

    def __init__(self, *, stops: int) -> None:
        super().__init__(age_s=100.0, ended_after_s=None)
        self.asked = 0
        self._stops = stops

    async def stop(self, container: ContainerId, *, grace_s: float) -> None:
        self.asked += 1
        if self.asked == 1:
            raise EngineUnavailable("busy")
        if self.asked == self._stops:
            await super().stop(container, grace_s=grace_s)


def test_a_time_limit_is_insisted_on_until_the_container_has_ended(tmp_path: Path) -> None:
    container = NotStartedYet(stops=4)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        ended = runner.run(resume(container, Listener(), tmp_path))

    assert (ended.timed_out, container.asked) == (True, 4)
