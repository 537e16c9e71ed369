"""The machine of a service, in memory: containers that take their time, workspaces, and copies of blobs."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from wherry.service.domain.blob import BlobHash, digest_content, object_key
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.errors import BlobMissing, EngineUnavailable
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.resources import Machine
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import AttemptId, InputData
from wherry.service.domain.usage import Usage
from wherry.service.ports.containers import (
    ContainerEngine,
    ContainerId,
    ContainerSpec,
    Exit,
    FoundContainer,
    OutputPiece,
    Source,
)
from wherry.service.ports.objects import ObjectStore
from wherry.service.ports.workspaces import (
    CollectedFile,
    CollectedOutput,
    LeftOutput,
    NodeCache,
    NodeLease,
    OutputUnusable,
    Workspaces,
)
from wherry.service.usecases.leftovers import ATTEMPT_LABEL, KEY_LABEL, RUN_LABEL, SHARED_LABEL, STAGE_LABEL

MACHINE = Machine(cpus=2, memory_bytes=2**30)
LINES = 3


@dataclass(eq=False)
class FakeContainer:
    """A command that writes a line now and then, and ends as the test wants."""

    spec: ContainerSpec
    seconds: float
    code: int
    lines: list[bytes] = field(default_factory=list)
    has_started: bool = False
    exit: Exit | None = None
    is_lost: bool = False
    """Whether it ended with its engine."""
    is_gone: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    working: "asyncio.Task[None] | None" = None

    @property
    def attempt(self) -> str:
        return self.spec.labels[ATTEMPT_LABEL]

    @property
    def key(self) -> str:
        return self.spec.labels[KEY_LABEL]

    @property
    def run_id(self) -> str:
        return self.spec.labels[RUN_LABEL]

    @property
    def stage(self) -> str:
        return self.spec.labels[STAGE_LABEL]

    @property
    def is_shared(self) -> bool:
        return self.spec.labels[SHARED_LABEL] == "yes"

    @property
    def is_running(self) -> bool:
        return self.has_started and self.exit is None

    def tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def end(self, code: int, *, lost: bool = False) -> None:
        if self.working is not None:
            self.working.cancel()
        if self.is_running:
            self.exit, self.is_lost = Exit(code=code, out_of_memory=False), lost
        self.tell()

    async def work(self) -> None:
        for number in range(LINES):
            await asyncio.sleep(self.seconds / LINES)
            self.lines.append(f"{self.attempt} {number}\n".encode())
            self.tell()
        self.exit = Exit(code=self.code, out_of_memory=False, ran_s=self.seconds)
        self.tell()


class FakeEngine(ContainerEngine):
    """`containers` holds all that there are, by id, and `past` all that there ever were."""

    def __init__(self) -> None:
        self.containers: dict[ContainerId, FakeContainer] = {}
        self.past: list[FakeContainer] = []
        self.seconds = 5.0
        """How long the next containers take."""
        self.failing: set[str] = set()
        """Stages whose next container fails."""
        self.broken_off = asyncio.Event()
        self.when_started: Callable[[FakeContainer], None] | None = None

    def crash(self) -> None:
        """End with all containers; who listens hears nothing more."""
        for container in self.containers.values():
            if container.is_running:
                container.end(137, lost=True)
        self.break_off()

    def break_off(self) -> None:
        self.broken_off.set()
        self.broken_off = asyncio.Event()

    async def version(self) -> str:
        return "1"

    async def check_network(self) -> None:
        """There is none."""

    async def machine(self) -> Machine:
        return MACHINE

    async def lacks_of_isolation(self) -> str:
        return ""

    async def create(self, spec: ContainerSpec) -> ContainerId:
        container = ContainerId(spec.name)
        if container in self.containers:
            raise EngineUnavailable("the name is taken")
        stage = spec.labels[STAGE_LABEL]
        code = 1 if stage in self.failing else 0
        self.failing.discard(stage)
        self.containers[container] = FakeContainer(spec, self.seconds, code)
        self.past.append(self.containers[container])
        return container

    async def start(self, container: ContainerId, *, stdin: bytes = b"") -> AsyncGenerator[OutputPiece]:
        found = self._known(container)
        if not found.has_started:
            found.has_started = True
            if self.when_started is not None:
                self.when_started(found)
            found.working = asyncio.create_task(found.work())
        async for piece in self._follow(found):
            yield piece

    async def output(self, container: ContainerId) -> AsyncGenerator[OutputPiece]:
        async for piece in self._follow(self._known(container)):
            yield piece

    async def _follow(self, container: FakeContainer) -> AsyncGenerator[OutputPiece]:
        seen, broken_off = 0, self.broken_off
        while not broken_off.is_set():
            while seen < len(container.lines):
                seen += 1
                yield OutputPiece(Source.STDOUT, container.lines[seen - 1])
            if container.exit is not None or container.is_gone:
                return
            await _either(container.changed, broken_off)

    async def wait(self, container: ContainerId) -> Exit:
        found = self._known(container)
        while found.exit is None:
            await found.changed.wait()
            if found.is_gone:
                raise EngineUnavailable("the container is gone")
        if found.is_lost:
            raise EngineUnavailable("the container ended with its engine")
        return found.exit

    async def stop(self, container: ContainerId, *, grace_s: float) -> None:
        if container in self.containers:
            self.containers[container].end(143)

    async def age_s(self, container: ContainerId) -> float:
        return 0.0

    async def usage(self, container: ContainerId) -> Usage:
        return Usage()

    async def remove(self, container: ContainerId) -> None:
        found = self.containers.pop(container, None)
        if found is not None:
            found.end(137)
            found.is_gone = True
            found.tell()

    async def end_group(self, group: str) -> None:
        pass

    async def list_labelled(self, labels: Mapping[str, str]) -> list[FoundContainer]:
        return [
            FoundContainer(
                id=name,
                labels=one.spec.labels,
                has_started=one.has_started,
                created_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
            for name, one in self.containers.items()
            if labels.items() <= one.spec.labels.items()
        ]

    def _known(self, container: ContainerId) -> FakeContainer:
        if container not in self.containers:
            raise EngineUnavailable("there is no such container")
        return self.containers[container]


class FakeWorkspaces(Workspaces):
    """What a stage makes is named after its attempt: two executions never make the same."""

    def __init__(self, folder: Path) -> None:
        self.attempts: set[AttemptId] = set()
        self._folder = folder

    async def create(self, attempt: AttemptId) -> Path:
        self.attempts.add(attempt)
        return Path("/w") / attempt

    async def lay_out(
        self,
        workspace: Path,
        *,
        files: Mapping[ProjectPath, SnapshotFile],
        data: Sequence[InputData],
        folders: Iterable[ProjectPath],
    ) -> Mapping[ProjectPath, Path]:
        assert workspace.name in self.attempts
        return {}

    async def find_read(
        self, workspace: Path, files: Collection[ProjectPath]
    ) -> Collection[ProjectPath] | None:
        return ()

    async def collect(
        self, workspace: Path, outputs: Sequence[ProjectPath], ignore: IgnoreRules
    ) -> tuple[CollectedOutput, ...]:
        if workspace.name not in self.attempts:
            raise OutputUnusable("the workspace is gone")
        return tuple(self._collected(workspace.name, path) for path in outputs)

    def _collected(self, attempt: str, path: ProjectPath) -> CollectedOutput:
        content = made_by(attempt, path)
        source = self._folder / f"{attempt}-{path}"
        source.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        file = CollectedFile(source=source, digest=digest_content(content), sha256=sha256)
        return CollectedOutput(
            project_path=path, files=(file,), tree=None, total_bytes=len(content), executable=False
        )

    async def list_left(self, workspace: Path, outputs: Sequence[ProjectPath]) -> Sequence[LeftOutput]:
        return ()

    async def changed_inputs(self, workspace: Path) -> Sequence[ProjectPath]:
        return ()

    async def measure(self, workspace: Path) -> int:
        return 0

    async def remove(self, workspace: Path) -> None:
        self.attempts.discard(AttemptId(workspace.name))

    async def adopt(
        self,
        attempt: AttemptId,
        *,
        files: Mapping[ProjectPath, SnapshotFile],
        data: Sequence[InputData],
        folders: Iterable[ProjectPath],
    ) -> Path:
        return Path("/w") / attempt

    async def list_attempts(self) -> Sequence[AttemptId]:
        return tuple(self.attempts)

    async def remove_attempt(self, attempt: AttemptId) -> None:
        self.attempts.discard(attempt)


class FakeNode(NodeCache):
    """Keeps nothing: everything is had from the store."""

    def __init__(self, objects: ObjectStore, folder: Path) -> None:
        self._objects, self._folder = objects, folder

    @contextlib.contextmanager
    def lease(self) -> Iterator[NodeLease]:
        raise AssertionError("no stage of the model makes an image")

    async def make_room(self, size_bytes: int) -> None:
        """There is room."""

    async def read(self, digest_hash: str, *, limit_bytes: int) -> bytes:
        content = await self._objects.get(object_key(BlobHash(digest_hash)))
        if content is None:
            raise BlobMissing(f"the store does not hold {digest_hash}")
        return content

    def holds(self, digest_hash: str) -> bool:
        return False

    async def path(self, digest_hash: str) -> Path:
        path = self._folder / f"node-{digest_hash}"
        path.write_bytes(await self.read(digest_hash, limit_bytes=2**30))
        return path

    async def adopt(self, digest_hash: str, source: Path) -> None:
        """Nothing is kept."""


def made_by(attempt: str, path: str) -> bytes:
    """The content of an output."""
    return f"{path} of {attempt}".encode()


async def _either(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
