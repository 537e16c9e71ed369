"""What a stage's container may do, and how its output and its end are told, on a real engine."""

import asyncio
import gc
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from tests.engine_fixtures import IMAGE, STAGE_UID, Bench, bench, engine, resolve, with_limits
from wherry.service.adapters.container_output_docker import FrameParser
from wherry.service.adapters.container_spec_docker import lacks_of_isolation
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.domain.errors import EngineUnavailable, ImageNotFound
from wherry.service.ports.containers import ContainerId, Exit, OutputPiece, Source

__all__ = ["bench", "engine"]

DEADLINE_S = 60


@pytest.fixture
def opinionated_image() -> Iterator[str]:
    """An image that wants to decide by itself what is run, and how."""
    client = docker.from_env()
    repository = f"wherry-test/{uuid.uuid4().hex}"
    # Committed, not built: a build leaves the containers of its steps behind.
    container = client.containers.create(IMAGE, "true")
    wishes = [
        "ENV FROM_IMAGE=yes",
        "USER 0",
        "WORKDIR /opt",
        "VOLUME /cache",
        "HEALTHCHECK CMD false",
        'ENTRYPOINT ["/bin/false"]',
        'CMD ["ignored"]',
    ]
    container.commit(repository, "1", changes=wishes)
    container.remove()
    yield f"{repository}:1"
    client.images.remove(f"{repository}:1")
    client.close()


def test_stage_is_unprivileged_and_cannot_become_root(bench: Bench) -> None:
    ran = asyncio.run(
        bench.run("id -u; id -g; id -G; grep -E '^(Cap(Eff|Prm|Bnd)|NoNewPrivs)' /proc/self/status")
    )
    none = "0000000000000000"
    assert ran.stdout.decode().split() == [
        *[str(STAGE_UID)] * 3,
        *("CapPrm:", none, "CapEff:", none, "CapBnd:", none),
        *("NoNewPrivs:", "1"),
    ]


def test_only_workspace_home_and_tmp_are_writable(bench: Bench) -> None:
    tries = "; ".join(
        f"if touch {folder}/probe 2>/dev/null; then echo {folder}; fi"
        for folder in ("/", "/etc", "/usr", "/var/tmp", "/workspace", "/home/wherry", "/tmp", "/sys", "/opt")
    )
    ran = asyncio.run(bench.run(tries))
    assert ran.stdout.decode().split() == ["/workspace", "/home/wherry", "/tmp"]
    assert (bench.workspace / "probe").stat().st_uid == STAGE_UID


def test_home_belongs_to_the_stage_alone_and_programs_in_it_can_run(bench: Bench) -> None:
    ran = asyncio.run(
        bench.run("stat -c '%u %a' ~; printf '#!/bin/sh\\necho ran\\n' >~/x; chmod +x ~/x; ~/x")
    )
    assert ran.stdout.decode().split() == [str(STAGE_UID), "700", "ran"]


def test_environment_is_what_the_stage_declares_and_nothing_of_the_host(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Docker's own client passes proxies from its configuration on to containers.
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"httpProxy": "http://proxy.invalid:1"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("WHERRY_SECRET", "of the host")
    spec = with_limits(bench.spec("env"), environment={"GREETING": "hello = world"})
    ran = asyncio.run(bench.run(spec))
    variables = dict(line.split("=", 1) for line in ran.stdout.decode().splitlines())
    assert variables.pop("HOSTNAME")
    assert variables.pop("PATH")
    assert variables == {"GREETING": "hello = world", "HOME": "/home/wherry", "PWD": "/workspace"}


def test_without_network_there_is_only_loopback(bench: Bench) -> None:
    ran = asyncio.run(bench.run("ls /sys/class/net"))
    assert ran.stdout == b"lo\n"


def test_with_network_containers_do_not_reach_each_other(bench: Bench) -> None:
    listen = (
        "import socket; server = socket.create_server(('0.0.0.0', 8000)); "
        "print(socket.gethostbyname(socket.gethostname()), flush=True); server.accept()"
    )
    connect = (
        "import socket, sys\ntry: socket.create_connection((sys.argv[1], 8000), 2); print('reached')\n"
        "except OSError: print('closed')"
    )

    async def check() -> tuple[bytes, bytes]:
        listening = replace(bench.spec(""), argv=("python3", "-c", listen), network=True)
        async with bench.started(listening) as (container, pieces):
            address = (await anext(pieces)).data.decode().strip()
            other = replace(bench.spec(""), argv=("python3", "-c", connect, address), network=True)
            ran = await bench.run(other)
            own = replace(other, argv=("sh", "-c", "ls /sys/class/net | grep -c eth0"), name=other.name + "b")
            interfaces = await bench.run(own)
            await bench.engine.stop(container, grace_s=0)
        return ran.stdout, interfaces.stdout

    assert asyncio.run(check()) == (b"closed\n", b"1\n")


def test_number_of_processes_is_limited(bench: Bench) -> None:
    command = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo started"
    ran = asyncio.run(bench.run(with_limits(bench.spec(command), pids_max=5)))
    assert ran.exit.code != 0
    assert b"started" not in ran.stdout


@pytest.mark.parametrize(
    ("command", "code"), [("true", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$; exit 9", 9)]
)
def test_exit_code_is_told_as_shells_count(bench: Bench, command: str, code: int) -> None:
    # The last one: the first process of a container takes no signal that it does not handle.
    ran = asyncio.run(bench.run(f"sh -c '{command}'" if "-9" in command else command))
    assert ran.exit == Exit(code=code, out_of_memory=False)


def test_running_out_of_memory_is_told(bench: Bench) -> None:
    spec = replace(bench.spec(""), argv=("python3", "-c", "x = b'x' * 500_000_000"))
    ran = asyncio.run(bench.run(with_limits(spec, memory_bytes=64 * 1024 * 1024)))
    assert ran.exit == Exit(code=137, out_of_memory=True)


def test_stop_lets_the_stage_put_its_things_in_order(bench: Bench) -> None:
    async def check() -> tuple[bytes, Exit]:
        command = "trap 'echo tidy; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
        async with bench.started(bench.spec(command)) as (container, pieces):
            assert (await anext(pieces)).data == b"ready\n"
            await bench.engine.stop(container, grace_s=DEADLINE_S)
            rest = b"".join([piece.data async for piece in pieces])
            return rest, await bench.engine.wait(container)

    assert asyncio.run(check()) == (b"tidy\n", Exit(code=5, out_of_memory=False))


def test_stop_reaches_the_command_that_a_shell_waits_for_and_not_its_helpers(bench: Bench) -> None:
    program = (
        "import signal, subprocess, sys\n"
        "helper = subprocess.Popen(['sleep', '1000'])\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print(helper.poll()) or 3))\n"
        "print('ready', flush=True)\n"
        "helper.wait()\n"
    )

    async def check() -> tuple[bytes, Exit]:
        (bench.workspace / "train.py").write_text(program)
        async with bench.started(bench.spec("python3 train.py; exit $?")) as (container, pieces):
            assert (await anext(pieces)).data == b"ready\n"
            await bench.engine.stop(container, grace_s=DEADLINE_S)
            rest = b"".join([piece.data async for piece in pieces])
            return rest, await bench.engine.wait(container)

    assert asyncio.run(check()) == (b"None\n", Exit(code=3, out_of_memory=False))


def test_the_age_of_a_container_counts_from_its_start(bench: Bench) -> None:
    async def check() -> tuple[float, float, float, float]:
        before = time.monotonic()
        async with bench.started(bench.spec("echo ready; sleep 1000")) as (container, pieces):
            await anext(pieces)
            young = await bench.engine.age_s(container)
            passed = time.monotonic() - before
            old = await bench.engine.age_s(container)
            await bench.engine.stop(container, grace_s=0)
        async with bench.created(bench.spec("true")) as container:
            return await bench.engine.age_s(container), young, old, passed

    never_started, young, old, passed = asyncio.run(check())

    assert never_started == 0
    assert 0 < young < old
    assert young < passed


def test_stop_kills_a_stage_that_ignores_it_and_can_be_repeated(bench: Bench) -> None:
    async def check() -> Exit:
        async with bench.started(bench.spec("trap '' TERM; echo ready; sleep 1000")) as (container, pieces):
            await anext(pieces)
            await bench.engine.stop(container, grace_s=0.5)
            await bench.engine.stop(container, grace_s=0.5)
            return await bench.engine.wait(container)

    assert asyncio.run(check()) == Exit(code=137, out_of_memory=False)


def test_a_stop_with_less_grace_cuts_short_one_that_is_under_way(bench: Bench) -> None:
    async def check() -> Exit:
        command = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done"
        async with (
            asyncio.timeout(DEADLINE_S),
            bench.started(bench.spec(command)) as (container, pieces),
        ):
            assert (await anext(pieces)).data == b"ready\n"
            patient = asyncio.create_task(bench.engine.stop(container, grace_s=10 * DEADLINE_S))
            # It has asked, and waits.
            assert (await anext(pieces)).data == b"asked\n"
            await bench.engine.stop(container, grace_s=0)
            ended = await bench.engine.wait(container)
            await patient
            return ended

    assert asyncio.run(check()) == Exit(code=137, out_of_memory=False)


def test_a_line_is_seen_while_the_container_still_runs(bench: Bench) -> None:
    async def check() -> OutputPiece:
        # Goes on only when the file appears, and that is made after its line was seen.
        command = "echo first; while ! test -e go; do sleep 0.05; done; echo second"
        async with bench.started(bench.spec(command)) as (_, pieces):
            assert await anext(pieces) == OutputPiece(Source.STDOUT, b"first\n")
            (bench.workspace / "go").touch()
            return await anext(pieces)

    assert asyncio.run(asyncio.wait_for(check(), DEADLINE_S)) == OutputPiece(Source.STDOUT, b"second\n")


def test_output_and_errors_are_told_apart_and_bytes_survive(bench: Bench) -> None:
    program = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 50); sys.stderr.buffer.write(b'\\xff\\0oops')"
    ran = asyncio.run(bench.run(replace(bench.spec(""), argv=("python3", "-c", program))))
    assert ran.stdout == bytes(range(256)) * 50
    assert ran.stderr == b"\xff\0oops"


def test_output_of_a_container_that_ends_at_once_is_complete(bench: Bench) -> None:
    # 200 kB, in many small writes.
    ran = asyncio.run(bench.run("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"))
    assert ran.stdout.decode().splitlines() == [f"line {number}" for number in range(20000)]


def test_a_reader_that_does_not_take_output_makes_the_container_wait(bench: Bench) -> None:
    async def check() -> tuple[bool, int]:
        size = 100_000_000
        command = f"head -c {size} /dev/zero; touch done"
        async with bench.started(bench.spec(command)) as (_, pieces):
            taken = len((await anext(pieces)).data)
            waited = await asyncio.to_thread(_is_never_made, bench.workspace / "done")
            async for piece in pieces:
                taken += len(piece.data)
        return waited, taken

    assert asyncio.run(check()) == (True, 100_000_000)


def _is_never_made(path: Path) -> bool:
    """Watch for as long as a container that does not wait would need many times over."""
    quiet = threading.Event()
    return not any(path.exists() or quiet.wait(0.05) for _ in range(40))


def test_a_reader_that_leaves_early_frees_its_thread(bench: Bench) -> None:
    async def check() -> int:
        before = threading.active_count()
        for _ in range(6):  # more than the engine has threads for output
            async with bench.started(bench.spec("echo ready; sleep 1000")) as (_, pieces):
                async with asyncio.timeout(DEADLINE_S):
                    assert (await anext(pieces)).data == b"ready\n"
        return threading.active_count() - before

    assert asyncio.run(check()) < 20


def test_a_cancelled_reader_leaves_the_container_running(bench: Bench) -> None:
    async def check() -> Exit:
        async with bench.created(
            bench.spec("echo ready; while ! test -e go; do sleep 0.05; done; exit 4")
        ) as container:
            seen = asyncio.Event()

            async def read() -> None:
                async with aclosing(bench.engine.start(container)) as pieces:
                    async for _ in pieces:
                        seen.set()

            reader = asyncio.create_task(read())
            await asyncio.wait_for(seen.wait(), DEADLINE_S)
            reader.cancel()
            await asyncio.wait([reader])
            (bench.workspace / "go").touch()
            return await bench.engine.wait(container)

    assert asyncio.run(check()) == Exit(code=4, out_of_memory=False)


def test_waiting_may_begin_before_the_start(bench: Bench) -> None:
    async def check() -> Exit:
        async with bench.created(bench.spec("exit 6")) as container:
            ended = asyncio.create_task(bench.engine.wait(container))
            async with aclosing(bench.engine.start(container)) as pieces:
                async for _ in pieces:
                    pass
            return await asyncio.wait_for(ended, DEADLINE_S)

    assert asyncio.run(check()) == Exit(code=6, out_of_memory=False)


def test_the_image_decides_nothing_but_variables(bench: Bench, opinionated_image: str) -> None:
    async def check() -> tuple[bytes, Exit]:
        image = await asyncio.to_thread(resolve, opinionated_image)
        ran = await bench.run(replace(bench.spec("pwd; id -u; echo $FROM_IMAGE"), image=image))
        return ran.stdout, ran.exit

    stdout, ended = asyncio.run(check())
    assert stdout.decode().split() == ["/workspace", str(STAGE_UID), "yes"]
    assert ended.code == 0


def test_a_running_container_is_listed_and_removed_and_removing_it_again_is_harmless(bench: Bench) -> None:
    async def check() -> None:
        async with bench.started(bench.spec("echo ready; sleep 1000")) as (container, pieces):
            await anext(pieces)
            assert [found.id for found in await bench.engine.list_labelled(bench.labels)] == [container]
            assert await bench.engine.list_labelled({**bench.labels, "other": "x"}) == []
            await bench.engine.remove(container)
            await bench.engine.remove(container)
            await bench.engine.stop(container, grace_s=1)
            with pytest.raises(EngineUnavailable, match="is gone"):
                await bench.engine.wait(container)

    asyncio.run(check())


def test_an_image_without_the_program_is_refused_with_a_reason(bench: Bench) -> None:
    with pytest.raises(ImageNotFound, match="no-such-shell"):
        asyncio.run(bench.run(replace(bench.spec(""), argv=("/no-such-shell",))))


# The SDK drops the socket of a failed connection without closing it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("url", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_is_not_there_is_told_with_what_to_do(url: str) -> None:
    engine = DockerContainerEngine(parallel_max=1, network=StageNetwork("wt-none"), url=url)
    for call in (
        engine.version,
        lambda: engine.wait(ContainerId("0" * 64)),
        lambda: engine.list_labelled({}),
    ):
        with pytest.raises(EngineUnavailable) as caught:
            asyncio.run(call())
        assert "DOCKER_HOST" in caught.value.hint
        del caught
    engine.close()
    gc.collect()


def test_version_is_the_engines(engine: DockerContainerEngine) -> None:
    assert int(asyncio.run(engine.version()).split(".")[0]) >= 20


@pytest.mark.parametrize("step", [1, 3, 7, 8, 9, 1000])
def test_frames_are_put_together_wherever_the_connection_cut_them(step: int) -> None:
    frames = b"".join(
        bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data
        for stream, data in [(1, b"one\n"), (1, b""), (1, b"two"), (2, os.urandom(300)), (1, b"end")]
    )
    parser = FrameParser()
    pieces = [piece for at in range(0, len(frames), step) for piece in parser.feed(frames[at : at + step])]
    assert b"".join(piece.data for piece in pieces if piece.source is Source.STDOUT) == b"one\ntwoend"
    assert len(b"".join(piece.data for piece in pieces if piece.source is Source.STDERR)) == 300


def test_an_images_volumes_are_in_memory_and_none_is_made_on_the_engines_disk(
    bench: Bench, opinionated_image: str
) -> None:
    client = docker.from_env()

    async def check() -> tuple[bytes, list[str]]:
        image = await asyncio.to_thread(resolve, opinionated_image)
        spec = replace(bench.spec("stat -f -c %T /cache; touch /cache/x && echo written"), image=image)
        async with bench.created(spec) as container:
            mounts = client.api.inspect_container(container)["Mounts"]
        return (await bench.run(replace(spec, name=f"{spec.name}b"))).stdout, [m["Type"] for m in mounts]

    try:
        assert asyncio.run(check()) == (b"tmpfs\nwritten\n", ["bind"])
    finally:
        client.close()


def test_what_is_in_memory_is_bounded(bench: Bench) -> None:
    small = DockerContainerEngine(
        parallel_max=1, network=StageNetwork("wt-none"), tmpfs_bytes=4 * 1024 * 1024
    )
    command = (
        "for at in /tmp ~ /dev/shm; do head -c 9M /dev/zero >$at/x || stat -c %s $at/x; done 2>/dev/null"
    )
    try:
        ran = asyncio.run(replace(bench, engine=small).run(command))
    finally:
        small.close()
    assert ran.stdout.split() == [b"4194304"] * 3


def test_what_an_engine_lacks_is_named() -> None:
    info = {"Runtimes": {"runc": {}, "other": {}}, "SecurityOptions": ["name=seccomp,profile=default"]}
    assert lacks_of_isolation(info, "") == ""
    assert lacks_of_isolation(info, "runc") == ""
    assert "seccomp" in lacks_of_isolation({**info, "SecurityOptions": ["name=apparmor"]}, "")
    with pytest.raises(EngineUnavailable, match="no runtime 'runsc', only other, runc"):
        lacks_of_isolation(info, "runsc")
