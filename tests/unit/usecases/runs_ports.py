"""What the services of a model share, and their ports: each call takes time, may fail, and is never answered to the dead."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.leases import FakeLeases
from tests.fakes.log_store import FakeLogStore
from tests.fakes.logs_to_keep import FakeLogsToKeep
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.passed_output import FakePassedOutput
from tests.fakes.run_cache import FakeRunCache
from tests.fakes.run_store import FakeRunStore
from tests.fakes.virtual_time import LoopClock
from tests.unit.usecases.runs_machine import FakeEngine, FakeWorkspaces
from wherry.service.domain.errors import LogGone
from wherry.service.domain.images.image import Image, NamedImage
from wherry.service.domain.run import NewRun, Run
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import LeaseToken, LogName, RunId
from wherry.service.ports.clock import Identities
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.log_archive import LogArchive
from wherry.service.ports.logs import LogLine
from wherry.service.ports.run_cache import Result
from wherry.service.ports.submissions import SubmissionStore
from wherry.service.usecases.read_project import Project


class Gate(Protocol):
    """What decides whether a call comes through."""

    async def pass_gate(self, kind: str) -> None:
        """Return when it may, or never."""
        ...


@dataclass(eq=False)
class Site:
    """What of a service outlives it."""

    owner: str
    engine: FakeEngine
    workspaces: FakeWorkspaces
    logs: FakeLogStore
    noted: FakeLogsToKeep
    down: set[str]
    """Of `database`, `store` and `engine`, those that do not answer."""


class Shared(Protocol):
    """What the services of one database share."""

    chance: Random
    clock: LoopClock
    folder: Path
    runs: FakeRunStore
    owners: dict[RunId, str]
    contents: dict[RunId, bytes]
    leases: FakeLeases
    passed: FakePassedOutput
    results: dict[Any, Result]
    index: FakeBlobIndex
    objects: FakeObjectStore
    archived: dict[LogName, list[LogLine]]
    log: EventLog
    identities: Identities
    is_closing: bool

    def open(self, content: bytes) -> tuple[Project, RunOptions]: ...

    def image(self) -> Image: ...


class OwnRuns:
    """Creates runs as one service's own, and lists them."""

    def __init__(self, shared: Shared, owner: str) -> None:
        self._shared, self._owner = shared, owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shared.runs, name)

    async def create(self, new: NewRun) -> tuple[Run, bool]:
        run, is_new = await self._shared.runs.create(new)
        if is_new:
            self._shared.owners[run.id] = self._owner
            self._shared.contents[run.id] = new.content
        return run, is_new

    async def list_stopping(self) -> Sequence[RunId]:
        return [run.id for run in await self.list_active() if run.stop_requested]

    async def list_active(self) -> Sequence[Run]:
        return [
            run for run in await self._shared.runs.list_active() if self._shared.owners[run.id] == self._owner
        ]


class CheckedCache(FakeRunCache):
    """The run cache of all; what it keeps must be held."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(leases=shared.leases)
        self.results = shared.results
        self._index = shared.index

    async def publish(self, result: Result, *, fence: LeaseToken | None = None) -> None:
        missing = await self._index.find_missing({out.hash for out in result.entry.outs})
        assert not missing, "a result without its blobs"
        await super().publish(result, fence=fence)


class NoSecrets:
    """Nobody has any."""

    async def reveal(self, project: str, names: Collection[str]) -> Mapping[str, bytes]:
        return {}


class Contents(SubmissionStore):
    """What runs were submitted with."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def find(self, run_id: RunId) -> bytes | None:
        return self._shared.contents.get(run_id)

    async def find_images(self, run_id: RunId) -> tuple[NamedImage, ...]:
        return ()


class Archive(LogArchive):
    """Logs in a dictionary."""

    def __init__(self, shared: Shared) -> None:
        self._archived = shared.archived

    async def keep(self, name: LogName, lines: AsyncIterator[Sequence[LogLine]]) -> None:
        self._archived[name] = [line async for page in lines for line in page]

    async def read_after(self, name: LogName, sequence: int) -> AsyncGenerator[Sequence[LogLine]]:
        if name not in self._archived:
            raise LogGone("there is no such log")
        yield [line for line in self._archived[name] if line.sequence > sequence]


class Images:
    """All images are at hand."""

    async def holds(self, name: str) -> bool:
        return True


class Gated:
    """A port of a life: every call passes its gate before it is made and after."""

    def __init__(self, inner: object, life: Gate, kind: str) -> None:
        self._inner, self._life, self._kind = inner, life, kind

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if inspect.isasyncgenfunction(found):
            return self._generating(found)
        return self._calling(found) if inspect.iscoroutinefunction(found) else found

    def _calling(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def gated(*args: Any, **kwargs: Any) -> Any:
            await self._life.pass_gate(self._kind)
            answer = await call(*args, **kwargs)
            # The answer may be lost, though what was asked is done.
            await self._life.pass_gate(self._kind)
            return answer

        async def goes_on(*args: Any, **kwargs: Any) -> Any:
            # What was sent cannot be called back: it is done though nobody waits for it any more.
            return await asyncio.shield(asyncio.ensure_future(gated(*args, **kwargs)))

        return gated if self._inner_waits(call) else goes_on

    def _inner_waits(self, call: Callable[..., Any]) -> bool:
        return call.__name__ in {"wait", "wait_for_events", "wait_for_lines"}

    def _generating(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def gated(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
            await self._life.pass_gate(self._kind)
            async with contextlib.aclosing(call(*args, **kwargs)) as pieces:
                async for piece in pieces:
                    await self._life.pass_gate("")
                    yield piece

        return gated
