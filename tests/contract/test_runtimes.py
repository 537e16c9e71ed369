"""Stages run in the runtime class that the operator names, and get the GPUs that are theirs: as the engine is asked for them."""

import asyncio
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from tests.engine_fixtures import STAGE_UID, Bench
from tests.own_engine import import_shell, own_engine
from wherry.service.adapters.container_spec_docker import Means, container_config
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.domain.errors import EngineUnavailable
from wherry.service.domain.images.image import Image


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the runtime was asked for, a line each."""
    return tmp_path_factory.mktemp("runtime") / "counted"


@pytest.fixture(scope="module")
def address(counted: Path) -> Iterator[str]:
    """An engine with a second runtime: runc under another name, that notes each call."""
    program = counted.with_name("second")
    program.write_text(f'#!/bin/sh\necho "$@" >>{counted}\nexec {shutil.which("runc")} "$@"\n')
    program.chmod(0o755)
    with own_engine(runtimes={"second": program}) as started:
        yield started.host


@pytest.fixture
def bench(address: str, tmp_path: Path) -> Iterator[Bench]:
    digest = import_shell(address, "wherry-test/shell")
    engine = DockerContainerEngine(
        parallel_max=1, network=StageNetwork("wt-none"), url=address, runtime="second"
    )
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    image = Image(name="shell", digest=digest, platform="linux/amd64")
    yield Bench(engine, image, workspace, {"wherry.test": uuid.uuid4().hex})
    engine.close()


def test_a_stage_runs_in_the_runtime_that_is_named(bench: Bench, counted: Path, address: str) -> None:
    async def check() -> tuple[str, str]:
        async with bench.started(bench.spec("echo ran")) as (container, pieces):
            said = b"".join([piece.data async for piece in pieces])
            assert said == b"ran\n"
            config = await bench.engine.call(lambda client: client.inspect_container(container)["HostConfig"])
            return container, str(config["Runtime"])

    assert asyncio.run(bench.engine.lacks_of_isolation()) == ""
    container, runtime = asyncio.run(check())
    assert runtime == "second"
    assert container in counted.read_text()


def test_a_runtime_that_the_engine_has_not_is_refused_with_those_that_it_has(address: str) -> None:
    engine = DockerContainerEngine(
        parallel_max=1, network=StageNetwork("wt-none"), url=address, runtime="runsc"
    )
    with pytest.raises(EngineUnavailable, match=r"no runtime 'runsc', only .*runc.*second"):
        asyncio.run(engine.lacks_of_isolation())
    engine.close()


def test_a_stage_is_given_its_own_gpus_by_index(tmp_path: Path) -> None:
    # Of no engine: what it is asked for is said in its own words.
    client = docker.APIClient(base_url="unix:///nowhere", version="1.41")
    bench = Bench(
        DockerContainerEngine(parallel_max=1, network=StageNetwork("wt-none")),
        Image(name="any", digest="sha256:0", platform="linux/amd64"),
        tmp_path,
        {},
    )
    means = Means(network="none", runtime="", tmpfs_bytes=1)
    config = container_config(client, replace(bench.spec("true"), gpus=(1, 3)), means)
    plain = container_config(client, bench.spec("true"), means)
    client.close()
    bench.engine.close()

    assert config["HostConfig"]["DeviceRequests"] == [
        {"Driver": "", "Count": 0, "DeviceIDs": ["1", "3"], "Capabilities": [["gpu"]], "Options": {}}
    ]
    assert not plain["HostConfig"].get("DeviceRequests")
    assert config["User"] == f"{STAGE_UID}:{STAGE_UID}"
