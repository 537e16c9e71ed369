"""Services that share a database, each of which may fall silent, die and come back; all as a test wants it."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.fakes.blob_index import FakeBlobIndex
from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.fakes.leases import FakeLeases
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.passed_output import FakePassedOutput
from tests.fakes.run_cache import FakeRunCache
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.domain.blob import digest_content
from wherry.service.domain.dvc.stage import Dependency, Output, Stage, StageName
from wherry.service.domain.errors import Place
from wherry.service.domain.images.image import Image
from wherry.service.domain.lease import Lease
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.records import FileEntry, OutputKind, StageEntry
from wherry.service.domain.states import CacheUse, Phase, State
from wherry.service.domain.task import (
    AttemptId,
    Failed,
    LeaseToken,
    Outcome,
    RunId,
    StageTask,
    StrictKey,
    Succeeded,
)
from wherry.service.ports.blob_index import BlobRecord
from wherry.service.ports.clock import Identities
from wherry.service.ports.leases import Leases
from wherry.service.ports.logs import LogLine, LogStore, LogStream, NewLine
from wherry.service.ports.run_cache import Result
from wherry.service.ports.stages import OutputPlace, StageObserver, StageRunner
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.caching_runner import CachingStageRunner
from wherry.service.usecases.find_dvc_result import FindDvcResult
from wherry.service.usecases.find_result import FindResult
from wherry.service.usecases.hold_lease import HoldLease
from wherry.service.usecases.known_runner import KnownStageRunner
from wherry.service.usecases.merging_runner import Flights, MergingStageRunner
from wherry.service.usecases.read_blobs import ReadBlobs

FAILURE = Failed(reason="exited with 1", exit_code=1, wall_s=1.0)


def task_of(key: int, run: int, *, use_cache: bool = True) -> StageTask:
    """A stage of its own for each key."""
    stage = Stage(
        name=StageName(f"s{key}"),
        file=ProjectPath("dvc.yaml"),
        key=f"s{key}",
        place=Place(path="dvc.yaml"),
        cmd="make",
        wdir=ROOT,
        deps=(Dependency(path="a", project_path=ProjectPath("a")),),
        outs=(Output(path="o", project_path=ProjectPath("o"), kind=OutputKind.OUT),),
    )
    return StageTask(
        run_id=RunId(str(run)),
        user=f"user{run}",
        stage=stage,
        deps=(FileEntry(path="a", hash=digest_content(b"a").hash, size_bytes=1),),
        params={},
        image=Image(name="i", digest="sha256:0", platform="linux/amd64"),
        environment={},
        network=False,
        key=StrictKey(f"{key:064x}"),
        files={},
        data=(),
        use_cache=use_cache,
        cacheable=True,
    )


class MemoryLog(LogStore):
    """Lines in lists."""

    def __init__(self) -> None:
        self.lines: dict[RunId, list[NewLine]] = {}

    async def append(self, run_id: RunId, lines: Sequence[NewLine]) -> None:
        self.lines.setdefault(run_id, []).extend(lines)

    async def read_after(
        self, run_id: RunId, sequence: int, *, stage: str | None, limit: int
    ) -> Sequence[LogLine]:
        numbered = enumerate(self.lines.get(run_id, []), 1)
        return [LogLine(sequence=at, line=line) for at, line in numbered if at > sequence][:limit]

    async def last_sequence(self, run_id: RunId) -> int:
        return len(self.lines.get(run_id, []))

    async def was_cleared(self, run_id: RunId) -> bool:
        return False

    async def wait_for_lines(self, run_id: RunId, sequence: int, timeout_s: float) -> None:
        """Nobody waits for lines here."""


class Observer(StageObserver):
    """Keeps lines, as runs do."""

    def __init__(self, task: StageTask, logs: MemoryLog, clock: FakeClock) -> None:
        self._task, self._logs, self._clock = task, logs, clock
        self._after, self._attempt = 0, None

    _attempt: AttemptId | None

    async def began(self, attempt: AttemptId) -> None:
        self._after, self._attempt = await self._logs.last_sequence(self._task.run_id), attempt

    async def resumed(self, attempt: AttemptId) -> None:
        await self.began(attempt)

    async def attached(self, origin: OutputPlace, state: State) -> None:
        self._after, self._attempt = await self._logs.last_sequence(self._task.run_id), origin.attempt

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        """Not looked at."""

    async def waits(self, reason: str) -> None:
        """Not looked at."""

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        now, stage = self._clock.now(), self._task.stage.name
        await self._logs.append(
            self._task.run_id, [NewLine(time=now, stage=stage, stream=stream, text=line) for line in lines]
        )

    def place(self) -> OutputPlace:
        return OutputPlace(
            run_id=self._task.run_id,
            user=self._task.user,
            stage=self._task.stage.name,
            after=self._after,
            attempt=self._attempt,
        )


@dataclass(eq=False)
class Execution:
    """A stage that runs, until the test says how it ends."""

    task: StageTask
    life: "Life"
    end: "asyncio.Future[Outcome]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_over: bool = False

    def succeed(self) -> None:
        outs = (FileEntry(path="o", hash=digest_content(b"o").hash, size_bytes=1),)
        entry = StageEntry(cmd="make", deps=self.task.deps, params={}, outs=outs)
        self.end.set_result(Succeeded(entry=entry, cache=CacheUse.MISS, wall_s=1.0))


class MortalLeases(Leases):
    """The database as one life of a service sees it: nothing is answered while it is silent, nor after its death."""

    def __init__(self, inner: FakeLeases, life: "Life") -> None:
        self._inner, self._life = inner, life

    async def acquire(self, wanted: Lease, *, now: datetime) -> Lease:
        await self._life.is_heard.wait()
        return await self._inner.acquire(wanted, now=now)

    async def find(self, key: StrictKey) -> Lease | None:
        await self._life.is_heard.wait()
        return await self._inner.find(key)

    async def renew(self, held: Sequence[Lease], *, expires_at: datetime) -> Mapping[LeaseToken, Lease]:
        await self._life.is_heard.wait()
        return await self._inner.renew(held, expires_at=expires_at)

    async def watch(self, key: StrictKey, token: LeaseToken) -> bool:
        await self._life.is_heard.wait()
        return await self._inner.watch(key, token)

    async def end(
        self,
        key: StrictKey,
        token: LeaseToken,
        *,
        failure: Failed | None = None,
        files: str = "",
        watched: bool = True,
    ) -> bool:
        await self._life.is_heard.wait()
        return await self._inner.end(key, token, failure=failure, files=files, watched=watched)

    async def sweep(self, *, before: datetime) -> bool:
        return await self._inner.sweep(before=before)


class MortalCache(FakeRunCache):
    """The run cache of all, as one life sees it; what it keeps must be held."""

    def __init__(self, world: "World", life: "Life") -> None:
        super().__init__(leases=world.leases)
        self.results = world.results
        self._world, self._life = world, life

    async def find(self, key: StrictKey) -> Sequence[Result]:
        await self._life.is_heard.wait()
        return await super().find(key)

    async def publish(self, result: Result, *, fence: LeaseToken | None = None) -> None:
        await self._life.is_heard.wait()
        missing = await self._world.index.find_missing({out.hash for out in result.entry.outs})
        assert not missing, "a result without its blobs"
        await super().publish(result, fence=fence)


class Counter(Identities):
    """1, 2, 3 …"""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new_attempt_id(self) -> AttemptId:
        return AttemptId(str(next(self._numbers)))


class Life(StageRunner):
    """One life of a service, and the innermost runner of it: executions that the test ends."""

    def __init__(self, world: "World", owner: str) -> None:
        self.world, self.owner = world, owner
        self.is_heard = asyncio.Event()
        self.is_heard.set()
        self.is_dead = False
        self.was_silent = False
        cache = MortalCache(world, self)
        adopt = AdoptBlobs(index=world.index, objects=world.objects, read=world.unread)
        dvc = FindDvcResult(objects=world.objects, index=world.index, adopt=adopt, read=world.unread)
        find = FindResult(cache=cache, index=world.index, adopt=adopt, dvc=dvc)
        lease = HoldLease(
            leases=MortalLeases(world.leases, self),
            passed=world.passed,
            find=find,
            clock=world.clock,
            identities=world.identities,
            log=world.log,
            owner=owner,
        )
        caching = CachingStageRunner(self, find=find, cache=cache, objects=world.objects, clock=world.clock)
        merging = MergingStageRunner(
            caching, flights=Flights(), lease=lease, find=find, logs=world.logs, clock=world.clock
        )
        self.runner = KnownStageRunner(merging, find=find, clock=world.clock)

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        execution = Execution(task, self)
        self.world.begin(execution)
        await observer.began(attempt)
        await observer.wrote(LogStream.STDOUT, [f"begin {attempt}".encode()])
        try:
            outcome = await execution.end
            if isinstance(outcome, Succeeded):
                await self.world.index.add(
                    [BlobRecord(hash=out.hash, size_bytes=1, sha256="x") for out in outcome.entry.outs]
                )
            await observer.wrote(LogStream.STDOUT, [f"end {attempt}".encode()])
            return outcome
        finally:
            execution.is_over = True
            self.world.running.remove(execution)


@dataclass(eq=False)
class Submission:
    """A stage that a run waits for."""

    task: StageTask
    life: Life
    waiting: "asyncio.Task[Outcome]"
    was_cancelled: bool = False


class World:
    """All that there is. Use it within one event loop."""

    def __init__(self, folder: Path, services: Sequence[str]) -> None:
        self.clock, self.log, self.logs = FakeClock(), FakeEventLog(), MemoryLog()
        self.leases, self.index, self.objects = FakeLeases(), FakeBlobIndex(), FakeObjectStore()
        self.passed = FakePassedOutput(self.leases)
        self.results: dict[tuple[StrictKey, str | None], Result] = {}
        self.identities = Counter()
        self.node = LocalNodeCache(folder, store=self.objects)
        self.unread = ReadBlobs(self.node)
        self.running: list[Execution] = []
        self.is_closing = False
        self.submissions: list[Submission] = []
        self.failed: set[StrictKey] = set()
        self.lives = {owner: Life(self, owner) for owner in services}
        self._past = list[Life]()
        self._runs = itertools.count(1)

    def begin(self, execution: Execution) -> None:
        """Whoever begins must be the only one who may: the others have lost their lease, or are dead."""
        if self.is_closing:
            raise asyncio.CancelledError
        fence = execution.task.fence
        standing = self.leases.standing.get(execution.task.key)
        if fence is not None:
            assert standing is not None
            assert standing.token == fence
            for other in self.running:
                if other.task.key == execution.task.key and other.task.fence is not None:
                    assert other.life.is_dead or other.life.was_silent or other.task.fence == fence, (
                        "executed twice while the lease lived"
                    )
        self.running.append(execution)

    def submit(self, owner: str, key: int, *, use_cache: bool) -> None:
        life = self.lives[owner]
        task = task_of(key, next(self._runs), use_cache=use_cache)
        observer = Observer(task, self.logs, self.clock)
        call = life.runner.run(task, self.identities.new_attempt_id(), observer)
        self.submissions.append(Submission(task, life, asyncio.create_task(call)))

    def restart(self, owner: str) -> None:
        """Kill a service, and start it: what it was doing is never heard of again."""
        self._past.append(self.lives[owner])
        self.lives[owner].is_dead = True
        self.lives[owner].is_heard.clear()
        self.lives[owner] = Life(self, owner)

    async def settle(self) -> None:
        """Let everybody do what they can do now."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """In steps that leave everybody who lives the time to say so."""
        while seconds > 0:
            self.clock.advance(min(2.0, seconds))
            seconds -= 2.0
            await self.settle()

    @property
    def awaited(self) -> list[Submission]:
        """What somebody who lives waits for."""
        return [one for one in self.submissions if not one.life.is_dead and not one.waiting.done()]

    @property
    def endable(self) -> list[Execution]:
        return [one for one in self.running if not one.life.is_dead and not one.end.done()]

    async def close(self) -> None:
        self.is_closing = True
        for life in (*self.lives.values(), *self._past):
            life.is_heard.set()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self.node.close()
