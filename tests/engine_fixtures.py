"""A real engine for tests, and the containers that they make. Import the fixtures by name."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.engine_client import EngineClient
from wherry.service.adapters.image_store_docker import DockerImageStore
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.domain.images.image import Image, PullPolicy
from wherry.service.ports.containers import ContainerId, ContainerSpec, Exit, OutputPiece, Source

IMAGE = "wherry/base:bookworm"
STAGE_UID = 10001 if os.geteuid() == 0 else os.geteuid()


@dataclass(frozen=True)
class Ran:
    """What became of a container."""

    stdout: bytes
    stderr: bytes
    exit: Exit


@dataclass(frozen=True)
class Bench:
    """Runs shell commands in containers that carry this test's label."""

    engine: DockerContainerEngine
    image: Image
    workspace: Path
    labels: dict[str, str]

    def spec(self, command: str) -> ContainerSpec:
        return ContainerSpec(
            name=f"wherry-test-{uuid.uuid4().hex}",
            image=self.image,
            argv=("/bin/sh", "-c", command),
            environment={},
            workspace=self.workspace,
            workspace_at="/workspace",
            working_folder="/workspace",
            user=f"{STAGE_UID}:{STAGE_UID}",
            home="/home/wherry",
            network=False,
            labels=self.labels,
        )

    @contextlib.asynccontextmanager
    async def created(self, spec: ContainerSpec) -> AsyncIterator[ContainerId]:
        container = await self.engine.create(spec)
        try:
            yield container
        finally:
            await self.engine.remove(container)

    @contextlib.asynccontextmanager
    async def started(
        self, spec: ContainerSpec
    ) -> AsyncIterator[tuple[ContainerId, AsyncGenerator[OutputPiece]]]:
        async with (
            self.created(spec) as container,
            contextlib.aclosing(self.engine.start(container)) as pieces,
        ):
            yield container, pieces

    async def run(self, command: str | ContainerSpec) -> Ran:
        spec = self.spec(command) if isinstance(command, str) else command
        written = {source: bytearray() for source in Source}
        async with self.started(spec) as (container, pieces):
            async for piece in pieces:
                written[piece.source] += piece.data
            ended = await self.engine.wait(container)
        return Ran(bytes(written[Source.STDOUT]), bytes(written[Source.STDERR]), ended)


def resolve(name: str) -> Image:
    """An image on the engine."""
    client = EngineClient()
    try:
        return asyncio.run(DockerImageStore(client).resolve(name, PullPolicy.NEVER))
    finally:
        client.close()


@pytest.fixture
def engine() -> Iterator[DockerContainerEngine]:
    # Of this test alone: tests run beside each other.
    network = StageNetwork(f"wt-{uuid.uuid4().hex[:8]}", labels={"wherry.test": "network"})
    engine = DockerContainerEngine(parallel_max=4, network=network)
    yield engine
    asyncio.run(engine.remove_network())
    engine.close()


@pytest.fixture
def bench(engine: DockerContainerEngine, tmp_path: Path) -> Iterator[Bench]:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    os.chown(workspace, STAGE_UID, STAGE_UID)
    labels = {"wherry.test": uuid.uuid4().hex}
    image = resolve(IMAGE)
    yield Bench(engine, image, workspace, labels)
    assert asyncio.run(engine.list_labelled(labels)) == []


def with_limits(
    spec: ContainerSpec,
    *,
    memory_bytes: int | None = None,
    pids_max: int = 4096,
    environment: dict[str, str] | None = None,
    network: bool = False,
) -> ContainerSpec:
    return replace(
        spec,
        memory_bytes=memory_bytes,
        pids_max=pids_max,
        environment=environment or {},
        network=network,
    )
