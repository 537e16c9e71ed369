"""Making images on a real engine: what is kept, and that nothing else is."""

import asyncio
import contextlib
import os
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import docker
import pytest

from tests.engine_fixtures import IMAGE
from wherry.service.adapters.build_networks_docker import DockerBuildNetworks, NoBuildNetworks
from wherry.service.adapters.cgroup_usage import CgroupAccounts
from wherry.service.adapters.engine_client import EngineClient
from wherry.service.adapters.image_maker_docker import BuildLimits, DockerImageMaker
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.domain.errors import ImageNotMade
from wherry.service.ports.images import Content, DockerBuild, Installation

DEADLINE_S = 120


@pytest.fixture
def client() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def labels() -> dict[str, str]:
    return {"wherry.test": uuid.uuid4().hex}


@pytest.fixture
def maker(client: Any, labels: dict[str, str]) -> Iterator[DockerImageMaker]:
    engine = EngineClient()
    ours = {**labels, "wherry.home": "ours"}
    yield DockerImageMaker(client=engine, networks=NoBuildNetworks(), labels=ours, image_labels=labels)
    engine.close()
    [(name, value)] = labels.items()
    assert client.containers.list(all=True, filters={"label": f"{name}={value}"}) == []
    for image in client.images.list(filters={"label": f"{name}={value}"}):
        client.images.remove(image.id, force=True)


def installation(script: str, name: str = "wherry/test-made") -> Installation:
    return Installation(
        name=f"{name}:{uuid.uuid4().hex}",
        base=IMAGE,
        script=script,
        files={
            "/workspace/sub/a": Content(source=b"one"),
            "/tmp/wherry/t": Content(source=b"#!/bin/sh\necho two", executable=True),
        },
        labels={"wherry.recipe": "k"},
    )


@contextlib.contextmanager
def small(client: Any, labels: dict[str, str], **limits: Any) -> Iterator[DockerImageMaker]:
    """A maker with limits of its own."""
    engine = EngineClient()
    bounds = BuildLimits(look_every_s=0.2, **limits)
    yield DockerImageMaker(
        client=engine, networks=NoBuildNetworks(), labels=labels, image_labels=labels, limits=bounds
    )
    engine.close()


class Lines:
    """What was told, and a look at it while it goes on."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._more = asyncio.Event()

    async def tell(self, lines: Sequence[bytes]) -> None:
        self.all += [line.decode() for line in lines]
        self._more.set()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not any(text in line for line in self.all):
                self._more.clear()
                await self._more.wait()


def test_what_a_script_writes_is_kept_and_nothing_that_it_was_given(
    maker: DockerImageMaker, client: Any
) -> None:
    wanted = installation("cat /workspace/sub/a >/usr/local/made; /tmp/wherry/t; ls /sys/class/net; id -u")
    lines = Lines()

    asyncio.run(maker.install(wanted, lines.tell))
    assert lines.all[:3] == ["two", "lo", "0"]
    base, made = client.images.get(IMAGE).attrs["Config"], client.images.get(wanted.name).attrs["Config"]
    # What the engine fills in where the base says nothing means the same: root, at the top.
    same = {
        "Labels": None,
        "Image": None,
        "User": base["User"] or "0:0",
        "WorkingDir": base["WorkingDir"] or "/",
    }
    assert {**base, **same} == {**made, "Labels": None, "Image": None}
    assert made["Labels"]["wherry.recipe"] == "k"
    assert made["Labels"]["wherry.home"] == ""
    look = "cat /usr/local/made; ls /workspace /tmp"
    assert client.containers.run(wanted.name, ["sh", "-c", look], remove=True) == b"one/tmp:\n\n/workspace:\n"


@pytest.mark.parametrize(
    ("script", "limits", "said"),
    [
        ("exit 3", BuildLimits(), "could not be installed"),
        ("sleep 1000", BuildLimits(time_s=0.5), "took longer"),
    ],
)
def test_a_script_that_fails_makes_no_image(
    client: Any, labels: dict[str, str], script: str, limits: BuildLimits, said: str
) -> None:
    engine, wanted = EngineClient(), installation(script)
    maker = DockerImageMaker(
        client=engine, networks=NoBuildNetworks(), labels=labels, image_labels=labels, limits=limits
    )
    with pytest.raises(ImageNotMade, match=said):
        asyncio.run(maker.install(wanted, Lines().tell))
    engine.close()
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(wanted.name)
    [(name, value)] = labels.items()
    assert client.containers.list(all=True, filters={"label": f"{name}={value}"}) == []


def test_a_dockerfile_that_fails_is_told_in_the_builders_words(maker: DockerImageMaker) -> None:
    async def make(dockerfile: bytes) -> None:
        build = DockerBuild(name=f"wherry/test-made:{uuid.uuid4().hex}", dockerfile=dockerfile, files={})
        await maker.build(build, Lines().tell)

    with pytest.raises(ImageNotMade, match="returned a non-zero code: 7"):
        asyncio.run(make(f"FROM {IMAGE}\nRUN exit 7\n".encode()))
    with pytest.raises(ImageNotMade, match="unknown instruction"):
        asyncio.run(make(f"FROM {IMAGE}\nWHAT\n".encode()))


def test_no_image_that_is_built_upon_makes_the_engine_fetch(
    maker: DockerImageMaker, client: Any, labels: dict[str, str]
) -> None:
    async def make(name: str, steps: str, bases: tuple[str, ...] = ()) -> None:
        await maker.build(
            DockerBuild(name=name, dockerfile=steps.encode(), files={}, bases=bases), Lines().tell
        )

    based = f"wherry/test-made:{uuid.uuid4().hex}"
    asyncio.run(make(based, f"FROM {IMAGE}\nONBUILD ADD http://127.0.0.1:1/ /x\n"))
    with pytest.raises(ImageNotMade, match="has the engine itself fetch something"):
        asyncio.run(make(f"{based}b", f"FROM {based}\n", (based,)))


@pytest.mark.parametrize(
    "steps",
    [
        "RUN {write}/x; sleep 1000",
        "VOLUME /data\nRUN {write}/data/x; sleep 1000",
        "RUN {write}/x\nRUN sleep 1000",
    ],
    ids=["a container", "a volume", "what earlier steps have left"],
)
def test_a_dockerfile_that_fills_the_disk_is_stopped(client: Any, labels: dict[str, str], steps: str) -> None:
    # Of its own: what the builder has made before counts no more.
    text = steps.replace("{write}", f": {uuid.uuid4().hex}; head -c 40000000 /dev/zero >")
    build = DockerBuild(
        name=f"wherry/test-made:{uuid.uuid4().hex}", dockerfile=f"FROM {IMAGE}\n{text}\n".encode(), files={}
    )
    with (
        small(client, labels, disk_bytes=20_000_000) as maker,
        pytest.raises(ImageNotMade, match=r"was stopped: it took more than 19.1 MiB of the disk"),
    ):
        asyncio.run(asyncio.wait_for(maker.build(build, Lines().tell), DEADLINE_S))


@pytest.mark.parametrize("folder", ["/usr/local", "/tmp"])
def test_packages_that_fill_the_disk_are_stopped(client: Any, labels: dict[str, str], folder: str) -> None:
    script = f"head -c 40000000 /dev/zero >{folder}/x; sleep 1000"
    with (
        small(client, labels, disk_bytes=20_000_000) as maker,
        pytest.raises(ImageNotMade, match="was stopped: it took more than"),
    ):
        asyncio.run(asyncio.wait_for(maker.install(installation(script), Lines().tell), DEADLINE_S))


def test_steps_of_a_dockerfile_have_bounds(client: Any, labels: dict[str, str]) -> None:
    many = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; echo all-started"
    quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max"
    lines, mark = Lines(), uuid.uuid4().hex
    with small(client, labels, pids_max=8, cpus=0.5) as maker:
        build = DockerBuild(
            name=f"wherry/test-made:{uuid.uuid4().hex}",
            dockerfile=f"FROM {IMAGE}\nRUN : {mark}; {quota}\nRUN : {mark}; {many}\n".encode(),
            files={},
        )
        bounds_processes = CgroupAccounts.of(client.info()) is not None and os.geteuid() == 0
        with pytest.raises(ImageNotMade) if bounds_processes else contextlib.nullcontext():
            asyncio.run(maker.build(build, lines.tell))
    with small(client, labels) as maker:
        # Others are cleared away with the next.
        build = DockerBuild(
            name=f"wherry/test-made:{uuid.uuid4().hex}",
            dockerfile=f"FROM {IMAGE} AS first\nRUN echo {build.name} >/x\nFROM {IMAGE}\nRUN echo {build.name}\n".encode(),
            files={},
        )
        asyncio.run(maker.build(build, lines.tell))
    images = {line.split()[-1] for line in lines.all if re.fullmatch(r" ---> [0-9a-f]{12}", line)}
    left = {image["Id"][7:19] for image in client.api.images(all=True, filters={"dangling": True})}
    assert len(images) > 4
    assert not images & left
    assert "50000" in lines.all
    assert ("all-started" in lines.all) is not bounds_processes


def test_stopping_ends_what_was_begun(maker: DockerImageMaker, client: Any) -> None:
    mark = uuid.uuid4().hex
    wait = f"echo 'begun' {mark}; sleep 1000"
    build = DockerBuild(
        name=f"wherry/test-made:{mark}", dockerfile=f"FROM {IMAGE}\nRUN {wait}\n".encode(), files={}
    )

    async def stop(making: Callable[[Lines], Awaitable[None]]) -> None:
        lines = Lines()
        task = asyncio.ensure_future(making(lines))
        await lines.until(f"begun {mark}")
        task.cancel()
        await asyncio.wait([task])

    async def both() -> None:
        await stop(lambda lines: maker.install(installation(wait), lines.tell))
        await stop(lambda lines: maker.build(build, lines.tell))

    asyncio.run(both())
    # The engine ends a build when it notices that nobody listens any more.
    deadline = time.monotonic() + DEADLINE_S
    while any(mark in found["Command"] for found in client.api.containers(all=True)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


_ROUTE = "tail -n +2 /proc/net/route | sort | tail -n 1"


def test_no_two_images_are_made_in_one_network(client: Any, labels: dict[str, str]) -> None:
    prefix = f"wt-{uuid.uuid4().hex[:8]}-"
    engine = EngineClient()
    networks = DockerBuildNetworks(
        engine, prefix=prefix, network=lambda name: StageNetwork(name, labels=labels)
    )
    maker = DockerImageMaker(client=engine, networks=networks, labels=labels, image_labels=labels)

    def there() -> list[str]:
        return sorted(found.name for found in client.networks.list(names=[prefix]))

    def making(kind: str, mark: str, lines: Lines, wait: str) -> asyncio.Task[None]:
        script = f"echo {mark} $({_ROUTE}); {wait}"
        if kind == "install":
            return asyncio.ensure_future(maker.install(installation(script), lines.tell))
        build = DockerBuild(
            name=f"wherry/test-made:{mark}", dockerfile=f"FROM {IMAGE}\nRUN {script}\n".encode(), files={}
        )
        return asyncio.ensure_future(maker.build(build, lines.tell))

    async def check() -> None:
        routes, tasks = set(), []
        for kind in ("build", "build", "install"):
            mark, lines = uuid.uuid4().hex, Lines()
            tasks.append(making(kind, mark, lines, "sleep 1000"))
            await lines.until(f"{mark} eth0")
            routes |= {line.split(None, 1)[1] for line in lines.all if line.startswith(f"{mark} eth0")}
        assert len(routes) == 3
        assert await asyncio.to_thread(there) == [f"{prefix}{digit}" for digit in (0, 1, 2)]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        # One that is in use by something else is left alone, and not used.
        other = await asyncio.to_thread(
            lambda: client.containers.run(IMAGE, ["sleep", "1000"], detach=True, network=there_or_made())
        )
        try:
            mark, lines = uuid.uuid4().hex, Lines()
            await making("install", mark, lines, "true")
            assert await asyncio.to_thread(lambda: client.containers.get(other.id).status) == "running"
        finally:
            await asyncio.to_thread(lambda: other.remove(force=True))
        await networks.close()
        assert await asyncio.to_thread(there) == []

    def there_or_made() -> str:
        StageNetwork(f"{prefix}0", labels=labels).ensure(client.api)
        return f"{prefix}0"

    asyncio.run(check())
    engine.close()


def test_what_was_made_is_listed_with_its_own_size_and_removed(maker: DockerImageMaker, client: Any) -> None:
    small = installation("head -c 1000000 /dev/urandom >/usr/local/random")
    asyncio.run(maker.install(small, Lines().tell))
    [made] = asyncio.run(maker.list_made())
    assert (made.name, made.has_containers) == (small.name, False)
    assert 1_000_000 <= made.own_bytes < 1_100_000

    container = client.containers.create(small.name, "true")
    try:
        assert asyncio.run(maker.list_made())[0].has_containers
        asyncio.run(maker.remove_made(small.name))
        assert client.images.get(small.name)
    finally:
        container.remove()
    asyncio.run(maker.remove_made(small.name))
    asyncio.run(maker.remove_made(small.name))
    assert asyncio.run(maker.list_made()) == ()
