"""Networks that the stages of one run use one after another, on a real engine."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import docker
import pytest

from tests.contract.test_stage_network import METADATA, PORT, outside, published, reached, reached_from_here
from tests.engine_fixtures import Bench, bench, engine
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.network_holders_docker import HOLDER_LABEL
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.ports.containers import ContainerId, ContainerSpec

__all__ = ["bench", "engine", "outside"]

DEADLINE_S = 60

LISTEN = f"""
import socket
print(socket.gethostbyname(socket.gethostname()), flush=True)
server = socket.create_server(("0.0.0.0", {PORT}))
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    made = docker.from_env()
    yield made
    made.close()


def holders(client: docker.DockerClient, bench: Bench) -> list[str]:
    """Those of this test that are there."""
    label = f"{HOLDER_LABEL}={bench.engine.network_name}"
    return [str(found["Id"]) for found in client.api.containers(all=True, filters={"label": label})]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def spec_of(bench: Bench, command: str, run: str) -> ContainerSpec:
    return replace(bench.spec(command), network=True, network_group=run)


def network_of(client: docker.DockerClient, container: ContainerId) -> str:
    return str(client.api.inspect_container(container)["HostConfig"]["NetworkMode"])


def hold(client: docker.DockerClient, bench: Bench, run: str) -> str:
    """Have a network made for a run, and return what containers that use it are joined to."""

    async def once() -> str:
        async with bench.created(spec_of(bench, "true", run)) as container:
            return network_of(client, container)

    deadline = time.monotonic() + DEADLINE_S
    while not (mode := asyncio.run(once())).startswith("container:"):
        assert time.monotonic() < deadline
    return mode


def kill(client: docker.DockerClient, bench: Bench, mode: str) -> None:
    """End what holds a network; the engine takes it out of the network a moment after it has ended."""
    holder = mode.removeprefix("container:")
    client.api.kill(holder)
    until(lambda: holder not in client.networks.get(bench.engine.network_name).attrs["Containers"])


def test_stages_of_a_run_use_a_network_one_after_another_and_never_at_once(
    bench: Bench, client: docker.DockerClient
) -> None:
    own = bench.engine.network_name

    async def twice() -> tuple[str, str, str]:
        async with bench.started(spec_of(bench, "echo; sleep 1000", "1")) as (first, pieces):
            await anext(pieces)
            async with bench.created(spec_of(bench, "true", "1")) as second:
                modes = network_of(client, first), network_of(client, second)
        async with bench.created(spec_of(bench, "true", "2")) as other:
            return *modes, network_of(client, other)

    held = hold(client, bench, "1")
    # Another run has nothing of it.
    assert asyncio.run(twice()) == (held, own, own)
    assert hold(client, bench, "1") == held
    asyncio.run(bench.engine.end_group("1"))
    until(lambda: held.removeprefix("container:") not in holders(client, bench))


def test_a_container_that_has_ended_gives_its_network_back_before_it_is_removed(
    bench: Bench, client: docker.DockerClient
) -> None:
    held = hold(client, bench, "1")

    async def check() -> str:
        async with bench.started(spec_of(bench, "true", "1")) as (first, pieces):
            assert network_of(client, first) == held
            assert [piece async for piece in pieces] == []
            await bench.engine.wait(first)
            async with bench.created(spec_of(bench, "true", "1")) as second:
                return network_of(client, second)

    assert asyncio.run(check()) == held


def test_a_network_that_is_gone_or_of_a_run_that_has_ended_is_not_used(
    bench: Bench, client: docker.DockerClient
) -> None:
    held = hold(client, bench, "1")
    kill(client, bench, held)
    assert asyncio.run(bench.run(spec_of(bench, "echo runs", "1"))).stdout == b"runs\n"
    until(lambda: held.removeprefix("container:") not in holders(client, bench))
    held = hold(client, bench, "1")

    async def end_meanwhile() -> None:
        async with bench.started(spec_of(bench, "echo; sleep 1000", "1")) as (container, pieces):
            await anext(pieces)
            assert network_of(client, container) == held
            await bench.engine.end_group("1")
            assert held.removeprefix("container:") in holders(client, bench)

    asyncio.run(end_meanwhile())
    until(lambda: held.removeprefix("container:") not in holders(client, bench))


def test_the_next_life_of_a_service_removes_what_nothing_runs_in(
    bench: Bench, client: docker.DockerClient
) -> None:
    used, unused = hold(client, bench, "1"), hold(client, bench, "2")
    left = {mode.removeprefix("container:") for mode in (used, unused)}
    again = DockerContainerEngine(parallel_max=4, network=StageNetwork(bench.engine.network_name))

    async def check() -> None:
        async with bench.started(spec_of(bench, "echo; sleep 1000", "1")) as (container, pieces):
            await anext(pieces)
            await again.check_network()
            assert set(holders(client, bench)) & left == {used.removeprefix("container:")}
            # None of them is a container that was left by a stage.
            assert not {found.id for found in await again.list_labelled({})} & left
            await again.remove(container)

    asyncio.run(check())
    until(lambda: not set(holders(client, bench)) & left)
    again.close()


@pytest.fixture
def ahead(bench: Bench) -> Iterator[Bench]:
    """The same network for a service that makes one place ahead."""
    engine = DockerContainerEngine(
        parallel_max=4, network=StageNetwork(bench.engine.network_name), networks_ahead=1
    )
    yield replace(bench, engine=engine)
    asyncio.run(engine.remove_network())
    engine.close()


def make_ahead(client: docker.DockerClient, ahead: Bench) -> str:
    """Have one made when it is quiet, and return what containers that use it are joined to."""
    before = set(holders(client, ahead))

    def made() -> set[str]:
        asyncio.run(ahead.engine.make_network_ahead())
        return set(holders(client, ahead)) - before

    until(lambda: bool(made()))
    (holder,) = made()
    return f"container:{holder}"


def mode_in(client: docker.DockerClient, bench: Bench, run: str) -> str:
    """What the next container of a run is joined to."""

    async def once() -> str:
        async with bench.created(spec_of(bench, "true", run)) as container:
            return network_of(client, container)

    return asyncio.run(once())


def test_what_was_made_ahead_is_of_the_run_whose_stage_begins_first_and_of_no_other(
    ahead: Bench, client: docker.DockerClient
) -> None:
    first = make_ahead(client, ahead)
    # No leftover of an earlier life, nor of a stage.
    asyncio.run(ahead.engine.check_network())
    assert asyncio.run(ahead.engine.list_labelled({HOLDER_LABEL: ahead.engine.network_name})) == []
    assert [mode_in(client, ahead, run) for run in ("1", "1", "2")] == [
        first,
        first,
        ahead.engine.network_name,
    ]
    second = make_ahead(client, ahead)
    assert [mode_in(client, ahead, run) for run in ("3", "1")] == [second, first]
    asyncio.run(ahead.engine.end_group("1"))
    until(lambda: first.removeprefix("container:") not in holders(client, ahead))
    assert mode_in(client, ahead, "3") == second


def test_one_that_was_made_ahead_and_has_ended_is_not_used(ahead: Bench, client: docker.DockerClient) -> None:
    dead = make_ahead(client, ahead)
    kill(client, ahead, dead)
    assert asyncio.run(ahead.run(spec_of(ahead, "echo runs", "1"))).stdout == b"runs\n"
    until(lambda: dead.removeprefix("container:") not in holders(client, ahead))


def test_the_next_life_of_a_service_removes_what_was_made_ahead(
    ahead: Bench, bench: Bench, client: docker.DockerClient
) -> None:
    make_ahead(client, ahead)
    # To this engine it is of a life before.
    asyncio.run(bench.engine.check_network())
    assert holders(client, bench) == []


def test_the_end_of_the_service_leaves_none_that_was_made_ahead(
    ahead: Bench, client: docker.DockerClient
) -> None:
    make_ahead(client, ahead)
    asyncio.run(ahead.engine.remove_network())
    assert holders(client, ahead) == []
    assert client.networks.list(names=[ahead.engine.network_name]) == []
    # Nor is one made any more.
    asyncio.run(ahead.engine.make_network_ahead())
    assert holders(client, ahead) == []


def test_the_end_of_the_service_leaves_none(bench: Bench, client: docker.DockerClient) -> None:
    hold(client, bench, "1")
    # One more is being made.
    for _ in range(3):
        asyncio.run(bench.run(spec_of(bench, "true", "2")))
    asyncio.run(bench.engine.remove_network())
    assert holders(client, bench) == []
    assert client.networks.list(names=[bench.engine.network_name]) == []


def test_from_a_network_that_is_used_again_nothing_more_is_reached(
    bench: Bench, client: docker.DockerClient, outside: str
) -> None:
    hold(client, bench, "1")
    gateway = str(client.networks.get(bench.engine.network_name).attrs["IPAM"]["Config"][0]["Gateway"])
    own = outside.rpartition(".")[0] + ".1"

    async def beside(group: str, published_port: int) -> None:
        spec = replace(spec_of(bench, "", group), argv=("python3", "-c", LISTEN))
        async with bench.started(spec) as (_, pieces):
            said = b""
            while b"ready" not in said:
                said += (await anext(pieces)).data
            listening = f"{said.decode().split()[0]}:{PORT}"
            ports = [f"{machine}:{published_port}" for machine in (gateway, own)]
            forbidden = [f"{METADATA}:{PORT}", *ports, listening]
            # Not the last: what it answers to this machine is dropped too.
            for address in forbidden[:-1]:
                assert await asyncio.to_thread(reached_from_here, address)
            world = f"{outside}:{PORT}"
            assert await asyncio.to_thread(partial(reached, group="1"), bench, world, *forbidden) == [world]

    with published(bench) as port:
        # A stage with a network of its own, and one that uses such a one too.
        asyncio.run(beside("", port))
        hold(client, bench, "2")
        asyncio.run(beside("2", port))
