"""What a stage with a network reaches, and what it never does, on a real engine.

A network namespace of the test stands for the outside world: in it answers an ordinary address, and one that clouds
use for metadata.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from tests.engine_fixtures import IMAGE, Bench, bench, engine
from tests.fakes.event_log import FakeEventLog
from wherry.service.adapters import stage_network_docker
from wherry.service.adapters.clock_system import SystemClock
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.host_commands_docker import CommandFailed
from wherry.service.adapters.stage_network_docker import StageNetwork, guard_script, read_resolvers
from wherry.service.domain.errors import EngineUnavailable
from wherry.service.ports.containers import OutputPiece
from wherry.service.usecases.guard_network import GuardNetwork

__all__ = ["bench", "engine"]

METADATA = "169.254.169.254"
PORT = 8099

_ANSWER = f"""
import socket
server = socket.create_server(("0.0.0.0", {PORT}))
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""

_REACH = """
import concurrent.futures, socket, sys
def reach(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1.5).close()
        return True
    except OSError:
        return False
with concurrent.futures.ThreadPoolExecutor() as pool:
    for address, reached in zip(sys.argv[1:], pool.map(reach, sys.argv[1:])):
        if reached:
            print(address)
"""


_WATCH = f"""
import socket, sys, time
while True:
    try:
        socket.create_connection((sys.argv[1], {PORT}), 0.5).close()
        print("open", flush=True)
    except OSError:
        print("closed", flush=True)
    time.sleep(0.1)
"""

DEADLINE_S = 60


def sh(command: str) -> str:
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """The machine has one way to the metadata address: tests of other processes wait."""
    deadline = time.monotonic() + 10 * DEADLINE_S
    with (Path(tempfile.gettempdir()) / "wherry-test-metadata.lock").open("w") as file:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield


@pytest.fixture
def outside() -> Iterator[str]:
    """An address in a network namespace of our own, which also has the metadata address."""
    name = f"wt{uuid.uuid4().hex[:8]}"
    third = os.getpid() % 256
    ours, theirs = f"198.18.{third}.1", f"198.18.{third}.2"
    with contextlib.ExitStack() as stack:
        stack.enter_context(only_one())
        sh(f"ip netns add {name}")
        stack.callback(sh, f"ip netns del {name}")
        sh(f"ip link add {name}h type veth peer name {name}n netns {name}")
        sh(f"ip address add {ours}/30 dev {name}h")
        sh(f"ip link set {name}h up")
        for command in (
            f"address add {theirs}/30 dev {name}n",
            f"address add {METADATA}/32 dev {name}n",
            f"link set {name}n up",
            "link set lo up",
            f"route add default via {ours}",
        ):
            sh(f"ip -n {name} {command}")
        # Replaced, should somebody who was killed have left one.
        sh(f"ip route replace {METADATA}/32 via {theirs}")
        with subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", _ANSWER], stdout=subprocess.PIPE
        ) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == b"ready\n"
                yield theirs
            finally:
                server.kill()


def reached(bench: Bench, *addresses: str, group: str = "") -> list[str]:
    argv = ("python3", "-c", _REACH, *addresses)
    spec = replace(bench.spec(""), argv=argv, network=True, network_group=group)
    return asyncio.run(bench.run(spec)).stdout.decode().split()


def reached_from_here(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 5):
        return True
    return False


def gateway_of(bench: Bench) -> str:
    network = bench.engine.network_name
    client = docker.from_env()
    try:
        return str(client.networks.get(network).attrs["IPAM"]["Config"][0]["Gateway"])
    finally:
        client.close()


@contextlib.contextmanager
def published(bench: Bench) -> Iterator[int]:
    """A container of somebody else that publishes a port on every address of the machine."""
    client = docker.from_env()
    container = client.containers.run(
        IMAGE, ["python3", "-c", _ANSWER], detach=True, ports={f"{PORT}/tcp": None}, labels=bench.labels
    )
    try:
        deadline = time.monotonic() + 60
        while not container.logs():
            assert time.monotonic() < deadline
        container.reload()
        (binding, *_) = container.ports[f"{PORT}/tcp"] or []
        yield int(binding["HostPort"])
    finally:
        container.remove(force=True)
        client.close()


def test_the_outside_world_is_reached_and_the_machine_its_ports_and_the_metadata_address_are_not(
    bench: Bench, outside: str
) -> None:
    asyncio.run(bench.engine.check_network())
    gateway = gateway_of(bench)
    own = outside.rpartition(".")[0] + ".1"
    with published(bench) as published_port, socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        world = f"{outside}:{PORT}"
        forbidden = [
            f"{METADATA}:{PORT}",
            f"{gateway}:{port}",
            f"{own}:{port}",
            f"{gateway}:{published_port}",
            f"{own}:{published_port}",
        ]
        for address in (world, *forbidden):
            assert reached_from_here(address)
        assert reached(bench, world, *forbidden) == [world]


def test_a_flushed_firewall_is_guarded_again(bench: Bench, outside: str) -> None:
    name = bench.engine.network_name
    asyncio.run(bench.engine.check_network())
    # What is without its rules reaches the address: the test above says something.
    sh(f"iptables -w -t raw -D PREROUTING -i {name} -j STAGES-{name}")
    assert reached(bench, f"{METADATA}:{PORT}") == [f"{METADATA}:{PORT}"]
    again = DockerContainerEngine(parallel_max=1, network=StageNetwork(name))
    asyncio.run(again.check_network())
    asyncio.run(again.check_network())
    again.close()
    assert reached(bench, f"{METADATA}:{PORT}", f"{outside}:{PORT}") == [f"{outside}:{PORT}"]
    assert sh("iptables -w -t raw -S PREROUTING").count(f"-i {name} ") == 1


def test_a_firewall_that_is_flushed_while_a_stage_runs_is_guarded_again(bench: Bench, outside: str) -> None:
    assert outside
    name = bench.engine.network_name
    again = DockerContainerEngine(parallel_max=1, network=StageNetwork(name, every_s=0.0))
    needed = asyncio.Event()
    guard = GuardNetwork(
        engine=again, clock=SystemClock(), log=FakeEventLog(), is_needed=needed.is_set, every_s=0.1
    )

    async def check() -> None:
        watching = replace(bench.spec(""), argv=("python3", "-c", _WATCH, METADATA), network=True)
        async with asyncio.timeout(DEADLINE_S), bench.started(watching) as (container, pieces):
            await _until(pieces, b"closed")
            guard.start()
            # As a reload does.
            await asyncio.to_thread(sh, f"iptables -w -t raw -D PREROUTING -i {name} -j STAGES-{name}")
            await asyncio.to_thread(sh, f"iptables -w -t raw -F STAGES-{name}")
            await _until(pieces, b"open")
            needed.set()
            await _until(pieces, b"closed")
            await guard.close()
            await bench.engine.stop(container, grace_s=0)

    asyncio.run(check())
    again.close()


async def _until(pieces: AsyncIterator[OutputPiece], said: bytes) -> None:
    async for piece in pieces:
        if said in piece.data:
            return


def test_what_the_operator_denies_is_not_reached(bench: Bench, outside: str) -> None:
    asyncio.run(bench.engine.check_network())
    denying = DockerContainerEngine(
        parallel_max=1, network=StageNetwork(bench.engine.network_name, denied=["198.18.0.0/15"])
    )
    asyncio.run(denying.check_network())
    denying.close()
    assert reached(bench, f"{outside}:{PORT}") == []


def test_a_stage_with_a_network_speaks_no_ipv6(bench: Bench) -> None:
    spec = replace(bench.spec("cut -c 33- /proc/net/if_inet6 2>/dev/null | grep -v ' lo$'"), network=True)
    assert asyncio.run(bench.run(spec)).stdout == b""
    # Nor does the machine to whoever speaks it all the same, writing its own frames.
    own = [line.split()[-1] for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    assert bench.engine.network_name not in own


def test_who_is_not_root_guards_through_the_engine(
    monkeypatch: pytest.MonkeyPatch, engine: DockerContainerEngine
) -> None:
    monkeypatch.setattr("wherry.service.adapters.stage_network_docker.os.geteuid", lambda: 1000)
    asyncio.run(engine.check_network())
    name = engine.network_name
    assert f"-A STAGES-{name} -d 169.254.0.0/16 -j DROP" in sh(f"iptables -w -t raw -S STAGES-{name}")
    assert f"-A PREROUTING -i {name} -j DROP" in sh("ip6tables -w -t raw -S PREROUTING")
    asyncio.run(engine.remove_network())
    assert name not in sh("iptables -w -t raw -S") + sh("ip6tables -w -t raw -S")


def test_a_network_in_use_is_not_removed_and_one_that_is_gone_does_no_harm(bench: Bench) -> None:
    name = bench.engine.network_name

    async def check() -> None:
        spec = replace(bench.spec("echo ready; sleep 1000"), network=True)
        async with bench.started(spec) as (_, pieces):
            await anext(pieces)
            await bench.engine.remove_network()
            assert f"-i {name} " in sh("iptables -w -t raw -S PREROUTING")
        await bench.engine.remove_network()
        await bench.engine.remove_network()
        # Pruned by somebody else, it leaves its rules.
        await bench.engine.check_network()
        sh(f"docker network rm {name}")
        await bench.engine.remove_network()

    asyncio.run(check())
    assert name not in sh("iptables -w -t raw -S")
    assert name not in sh("docker network ls")


def test_where_no_guard_can_be_had_it_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, engine: DockerContainerEngine
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CommandFailed("iptables-restore: not found")

    monkeypatch.setattr(stage_network_docker, "run_here", fail)
    monkeypatch.setattr(stage_network_docker, "run_on_engine_host", fail)
    with pytest.raises(EngineUnavailable, match="cannot be guarded: iptables-restore: not found") as caught:
        asyncio.run(engine.check_network())
    assert "WHERRY_NETWORK_GUARD" in caught.value.hint
    monkeypatch.undo()


def test_names_are_asked_where_the_machine_asks_them(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("# nameserver 10.0.0.9\nnameserver 127.0.0.53\nnameserver ::1\n")
    real.write_text(
        "search example.org\nnameserver 169.254.169.254\nnameserver 10.0.0.2\nnameserver bad; rm\n"
    )
    assert read_resolvers([tmp_path / "none", stub, real]) == ("169.254.169.254", "10.0.0.2")
    assert read_resolvers([stub]) == ()
    rules = guard_script(
        "br", sources=["10.1.0.0/16"], denied=["169.254.0.0/16"], resolvers=["169.254.169.254"]
    )
    before, _, after = rules.partition(
        "-A STAGES-br -d 169.254.169.254/32 -p udp -m udp --dport 53 -j RETURN"
    )
    assert [line for line in before.splitlines() if "-j DROP" in line] == [
        "-A STAGES-br ! -s 10.1.0.0/16 -j DROP"
    ]
    assert "-A STAGES-br -d 169.254.0.0/16 -j DROP" in after
