import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer
from wherry.service.domain.errors import StoreUnavailable

DEADLINE_S = 120.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SeaweedServer]:
    server = SeaweedServer(tmp_path / "s3")
    yield server
    asyncio.run(server.stop())


def store_on(server: SeaweedServer) -> S3ObjectStore:
    return S3ObjectStore.connect(
        S3Settings(
            bucket="bucket",
            endpoint_url=server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
    )


async def put_one(server: SeaweedServer, key: str) -> None:
    store = store_on(server)
    await store.ensure_bucket()
    await store.put(key, b"content of " + key.encode())
    await store.close()


async def read_all(server: SeaweedServer) -> dict[str, bytes | None]:
    store = store_on(server)
    found = {key: await store.get(key) for key in await store.list_keys("")}
    await store.close()
    return found


def pid_of(folder: Path) -> int:
    return int((folder / "weed.pid").read_text())


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets, some of which may be closed meanwhile."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            kind, _, inode = str(entry.readlink()).partition(":")
            if kind == "socket":
                found.add(inode.strip("[]"))
    return found


@contextlib.contextmanager
def killed_at_the_end(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so() and time.monotonic() < deadline:
        Event().wait(0.02)
    return is_so()


def test_objects_and_keys_outlive_a_restart(server: SeaweedServer) -> None:
    async def live_twice() -> tuple[tuple[str, str], tuple[str, str]]:
        await server.start()
        first = (server.access_key, server.secret_key)
        await put_one(server, "a")
        await server.stop()
        await server.start()
        await put_one(server, "b")
        return first, (server.access_key, server.secret_key)

    first, second = asyncio.run(live_twice())
    assert first == second
    assert asyncio.run(read_all(server)) == {"a": b"content of a", "b": b"content of b"}


def test_an_acknowledged_object_survives_sigkill(server: SeaweedServer, tmp_path: Path) -> None:
    async def be_killed() -> None:
        await server.start()
        await put_one(server, "a")
        os.kill(pid_of(tmp_path / "s3"), signal.SIGKILL)
        await server.stop()
        await server.start()

    asyncio.run(be_killed())
    assert asyncio.run(read_all(server)) == {"a": b"content of a"}


def test_the_address_is_the_same_over_restarts_when_the_port_is_given(
    tmp_path: Path, unused_port: int
) -> None:
    server = SeaweedServer(tmp_path / "s3", port=unused_port)

    async def live_twice() -> None:
        await server.start()
        await put_one(server, "a")
        os.kill(pid_of(tmp_path / "s3"), signal.SIGKILL)
        await server.stop()
        await server.start()

    asyncio.run(live_twice())
    assert server.endpoint == f"http://127.0.0.1:{unused_port}"
    assert asyncio.run(read_all(server)) == {"a": b"content of a"}
    asyncio.run(server.stop())


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StoreUnavailable, match=str(port)):
            asyncio.run(SeaweedServer(tmp_path / "s3", port=port).start())


def test_a_server_left_by_an_earlier_life_is_stopped_first(server: SeaweedServer, tmp_path: Path) -> None:
    asyncio.run(server.start())
    left_behind = pid_of(tmp_path / "s3")
    asyncio.run(put_one(server, "a"))
    successor = SeaweedServer(tmp_path / "s3")
    asyncio.run(successor.start())
    assert not is_alive(left_behind)
    assert asyncio.run(read_all(successor)) == {"a": b"content of a"}
    asyncio.run(successor.stop())


def test_another_program_that_got_the_old_pid_is_left_alone(server: SeaweedServer, tmp_path: Path) -> None:
    with killed_at_the_end(["sleep", "1000"]) as bystander:
        (tmp_path / "s3").mkdir()
        (tmp_path / "s3" / "weed.pid").write_text(str(bystander.pid))
        asyncio.run(server.start())
        assert is_alive(bystander.pid)


def test_after_stop_no_process_and_no_pid_file_is_left(server: SeaweedServer, tmp_path: Path) -> None:
    asyncio.run(server.start())
    pid = pid_of(tmp_path / "s3")
    asyncio.run(server.stop())
    assert not is_alive(pid)
    assert not (tmp_path / "s3" / "weed.pid").exists()
    asyncio.run(server.stop())


def test_the_server_ends_with_a_service_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, signal, sys\n"
        "from wherry.service.adapters.s3_server_seaweedfs import SeaweedServer\n"
        "asyncio.run(SeaweedServer(pathlib.Path(sys.argv[1])).start())\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "s3")]
    with killed_at_the_end(command) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        pid = pid_of(tmp_path / "s3")
        assert is_alive(pid)
    assert eventually(lambda: not is_alive(pid))


def test_only_the_generated_keys_open_the_bucket(server: SeaweedServer) -> None:
    asyncio.run(server.start())
    asyncio.run(put_one(server, "a"))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.endpoint}/bucket/a", timeout=DEADLINE_S)
    assert refused.value.code == 403
    refused.value.close()


def test_the_keys_are_for_the_owner_only_and_in_no_command_line(
    server: SeaweedServer, tmp_path: Path
) -> None:
    asyncio.run(server.start())
    config = tmp_path / "s3" / "s3.json"
    assert config.stat().st_mode & 0o777 == 0o600
    keys = json.loads(config.read_text())["identities"][0]["credentials"][0]
    assert (keys["accessKey"], keys["secretKey"]) == (server.access_key, server.secret_key)
    command = Path(f"/proc/{pid_of(tmp_path / 's3')}/cmdline").read_bytes()
    assert server.secret_key.encode() not in command
    assert server.secret_key not in (tmp_path / "s3" / "weed.log").read_text()
    assert server.secret_key not in repr(server)


def test_the_server_listens_on_loopback_only(server: SeaweedServer, tmp_path: Path) -> None:
    asyncio.run(server.start())
    pid = pid_of(tmp_path / "s3")
    inodes = sockets_of(pid)
    listening = "0A"
    addresses = [
        fields[1].partition(":")[0]
        for table in ("tcp", "tcp6")
        for fields in (line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:])
        if fields[3] == listening and fields[9] in inodes
    ]
    assert len(addresses) >= 4
    assert set(addresses) == {"0100007F"}  # 127.0.0.1, as the kernel writes it


class Told:
    """Keeps the events of a log."""

    def __init__(self) -> None:
        self.events: list[str] = []
        # The server may answer before the one who started it has seen that.
        self.runs_again = asyncio.Event()

    def info(self, event: str, **fields: object) -> None:
        self.events.append(event)
        if event == "the S3 server runs again":
            self.runs_again.set()

    def warning(self, event: str, **fields: object) -> None:
        self.events.append(event)

    def exception(self, event: str, **fields: object) -> None:
        raise AssertionError(event)


def test_a_server_that_dies_runs_again_and_calls_meanwhile_succeed(
    server: SeaweedServer, tmp_path: Path
) -> None:
    told = Told()

    async def live() -> tuple[bytes | None, bool]:
        await server.start()
        endpoint = server.endpoint
        watch = asyncio.create_task(server.keep_running(told))
        await put_one(server, "a")
        store = store_on(server)
        first = pid_of(tmp_path / "s3")
        os.kill(first, signal.SIGKILL)
        await store.put("b", b"put while nobody answered")
        found = await store.get("a")
        await store.close()
        assert pid_of(tmp_path / "s3") != first
        await asyncio.wait_for(told.runs_again.wait(), DEADLINE_S)
        watch.cancel()
        await asyncio.wait([watch])
        return found, server.endpoint == endpoint

    assert asyncio.run(live()) == (b"content of a", True)
    assert told.events == ["the S3 server has ended: starting it again", "the S3 server runs again"]
    assert asyncio.run(read_all(server)) == {"a": b"content of a", "b": b"put while nobody answered"}


def test_a_server_that_hangs_is_started_again_and_calls_under_way_succeed(tmp_path: Path) -> None:
    server, told = SeaweedServer(tmp_path / "s3", silence_s=3.0), Told()

    async def live() -> None:
        await server.start()
        watch = asyncio.create_task(server.keep_running(told))
        await put_one(server, "a")
        store = store_on(server)
        hanging = pid_of(tmp_path / "s3")
        os.kill(hanging, signal.SIGSTOP)
        calls = [store.put("b", b"content of b"), store.get("a")]
        done = await asyncio.gather(*calls)
        await store.close()
        assert done[1] == b"content of a"
        assert not is_alive(hanging)
        await asyncio.wait_for(told.runs_again.wait(), DEADLINE_S)
        watch.cancel()
        await asyncio.wait([watch])

    asyncio.run(live())
    # On a machine that is slow enough it may be silent for so long once more.
    assert told.events[:3] == [
        "the S3 server hangs: ending it",
        "the S3 server has ended: starting it again",
        "the S3 server runs again",
    ]
    assert asyncio.run(read_all(server)) == {"a": b"content of a", "b": b"content of b"}
    asyncio.run(server.stop())


def test_a_server_that_is_stopped_is_not_started_again(server: SeaweedServer, tmp_path: Path) -> None:
    async def live() -> None:
        await server.start()
        watch = asyncio.create_task(server.keep_running(Told()))
        await asyncio.sleep(0)
        watch.cancel()
        await asyncio.wait([watch])
        await server.stop()

    asyncio.run(live())
    assert not (tmp_path / "s3" / "weed.pid").exists()
