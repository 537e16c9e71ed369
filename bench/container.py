"""What a stage's container costs more than a bare one of the same image.

    python bench/container.py [--rounds N] [--json]

Bare: `docker run --rm IMAGE sh -c COMMAND`, as calls of the engine (create, attach, start, wait, remove), with a network as
Docker gives it; the program `docker` itself is measured too. In a network of its own Docker
gives a container a resolver too, which takes about as long as all else that is measured here: bare containers are
therefore measured there as well, and without a network. Confined: the same command as a stage, with everything that
docs/security.md lists: user, capabilities, read-only root, memory for /tmp and HOME, limits, guarded network, a secret, the
workspace measured while it runs. Stages of one run use a network one after another (decision 0027); the first ones of
a run use one that was made ahead (decision 0032), or one of their own where there is none: both are measured too. All in
turn; the median of each, and of the ratios within a round.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Any

from docker import APIClient

from wherry.service.adapters.client_s3 import S3Settings
from wherry.service.adapters.clock_system import SystemClock
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.network_holders_docker import HOLDER_LABEL
from wherry.service.adapters.node_cache_local import LocalNodeCache
from wherry.service.adapters.objects_s3 import S3ObjectStore
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.adapters.workspaces_local import LocalWorkspaces
from wherry.service.domain.images.image import Image
from wherry.service.domain.shell import secrets_script, shell_argv
from wherry.service.domain.task import AttemptId
from wherry.service.ports.containers import ContainerSpec
from wherry.service.usecases.disk_limit import DiskLimit

_IMAGE = "wherry/base:bookworm"
_COMMAND = "echo ready"
_GB = 10**9
_STAGE_UID = 10001
_RUN = "1"
_AT_ONCE = 2
_SETTLED_WITHIN_S = 60
_LOOK_S = 0.05

_WAYS = {
    "bare": "bare container",
    "bare_network": "bare container in a network of its own",
    "bare_offline": "bare container without a network",
    "program": "`docker run --rm`",
    "stage": "a stage's container",
    "stage_ahead": "a stage's container, the first of its run",
    "stage_first": "a stage's container, the first, none made ahead",
    "stage_offline": "a stage's container without a network",
}


class _Confined:
    """Runs the command as a stage is run."""

    def __init__(self, folder: Path, client: Any) -> None:
        found = client.inspect_image(_IMAGE)
        self._image = Image(
            name=_IMAGE, digest=found["Id"], platform=f"{found['Os']}/{found['Architecture']}"
        )
        # Nothing is laid out, so the store is never asked, and none runs.
        store = S3ObjectStore.connect(
            S3Settings(bucket="none", endpoint_url="http://127.0.0.1:9", access_key="-", secret_key="-")
        )
        self.took_s = 0.0
        self._uid = _STAGE_UID if os.geteuid() == 0 else os.geteuid()
        self._cache = LocalNodeCache(folder / "node", store=store)
        self._workspaces = LocalWorkspaces(
            folder / "workspaces", cache=self._cache, uid=self._uid, gid=self._uid
        )
        self.network = f"bench-{uuid.uuid4().hex[:8]}"
        self._network = StageNetwork(self.network, labels={"wherry.bench": "container"})
        self._engine = DockerContainerEngine(parallel_max=_AT_ONCE, network=self._network, networks_ahead=1)
        self._disk = DiskLimit(
            engine=self._engine,
            workspaces=self._workspaces,
            clock=SystemClock(),
            free_bytes=lambda: 10 * _GB,
        )

    async def settle(self, client: Any) -> None:
        """Run stages until a network is there for the next one."""
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while not self._held(client):
            assert time.monotonic() < deadline
            await self.run(network=True, run=_RUN)

    async def run_first(self, client: Any) -> None:
        """Run a stage that finds a network made ahead, and leave all as it was."""
        held, run = self._held(client), uuid.uuid4().hex
        await self._until(lambda: len(self._held(client)) > len(held), self._engine.make_network_ahead)
        await self.run(network=True, run=run)
        await self._engine.end_group(run)
        await self._until(lambda: self._held(client) == held)

    def _held(self, client: Any) -> set[str]:
        """What holds networks."""
        label = f"{HOLDER_LABEL}={self.network}"
        return {found["Id"] for found in client.containers(all=True, filters={"label": label})}

    async def _until(
        self, condition: Callable[[], bool], again: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while not condition():
            assert time.monotonic() < deadline
            if again is not None:
                await again()
            await asyncio.sleep(_LOOK_S)

    async def run(self, *, network: bool, run: str = "") -> None:
        """From the making of the container to its removal; the workspace is there before and after."""
        attempt = AttemptId(uuid.uuid4().hex)
        workspace = await self._workspaces.create(attempt)
        secrets = {"TOKEN": b"not a secret"}
        spec = ContainerSpec(
            name=f"wherry-bench-{attempt}",
            image=self._image,
            argv=shell_argv([_COMMAND], takes_secrets=True),
            environment={"DVC_ROOT": "/workspace", "DVC_STAGE": "bench"},
            workspace=workspace,
            workspace_at="/workspace",
            working_folder="/workspace",
            user=f"{self._uid}:{self._uid}",
            home="/home/wherry",
            network=network,
            network_group=run,
            secrets=secrets,
            memory_bytes=_GB,
            cpus=1,
        )
        begin = time.perf_counter()
        container = await self._engine.create(spec)
        async with (
            self._disk.watched(container, workspace),
            aclosing(self._engine.start(container, stdin=secrets_script(secrets))) as pieces,
        ):
            said = b"".join([piece.data async for piece in pieces])
            ended = await self._engine.wait(container)
        await self._engine.remove(container)
        self.took_s = time.perf_counter() - begin
        await self._workspaces.remove(workspace)
        assert (ended.code, said) == (0, b"ready\n"), (ended, said)

    async def close(self) -> None:
        """Leave nothing."""
        await self._engine.remove_network()
        self._engine.close()
        self._workspaces.close()
        self._cache.close()


def _bare(client: Any, network: str | None = None) -> float:
    """The calls of `docker run --rm`, or of `docker run --rm --network`."""
    begin = time.perf_counter()
    host = client.create_host_config(network_mode=network)
    made = client.create_container(_IMAGE, ["sh", "-c", _COMMAND], host_config=host)["Id"]
    attached = client.attach(made, stdout=True, stderr=True, stream=True)
    client.start(made)
    said = b"".join(attached)
    code = client.wait(made)["StatusCode"]
    client.remove_container(made)
    took = time.perf_counter() - begin
    assert (code, said) == (0, b"ready\n"), (code, said)
    return took


def _program() -> float:
    begin = time.perf_counter()
    subprocess.run(["docker", "run", "--rm", _IMAGE, "sh", "-c", _COMMAND], check=True, capture_output=True)
    return time.perf_counter() - begin


@contextmanager
def _client() -> Iterator[APIClient]:
    client = APIClient(version="auto", timeout=120)
    client.trust_env = False
    try:
        yield client
    finally:
        client.close()


def measure(rounds: int) -> dict[str, float]:
    """Milliseconds of each way, and how much slower a confined container is."""
    took: dict[str, list[float]] = {name: [] for name in _WAYS}
    with (
        tempfile.TemporaryDirectory() as folder,
        _client() as client,
        asyncio.Runner() as runner,
        ExitStack() as measuring,
    ):
        confined = _Confined(Path(folder), client)

        def run_confined(*, network: bool, run: str = "") -> float:
            runner.run(confined.run(network=network, run=run))
            return confined.took_s

        def run_first() -> float:
            runner.run(confined.run_first(client))
            return confined.took_s

        measuring.callback(lambda: runner.run(confined.close()))
        # The network is there from here on, and what is used one after another.
        runner.run(confined.settle(client))
        ways: list[tuple[str, Callable[[], float]]] = [
            ("bare", lambda: _bare(client)),
            ("stage", lambda: run_confined(network=True, run=_RUN)),
            ("bare_network", lambda: _bare(client, confined.network)),
            ("stage_offline", lambda: run_confined(network=False)),
            ("stage_ahead", run_first),
            ("stage_first", lambda: run_confined(network=True)),
            ("bare_offline", lambda: _bare(client, "none")),
            ("program", _program),
        ]
        for number in range(rounds + 1):
            # Each way comes first in turn; the first round warms up.
            for name, way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                seconds = way()
                if number:
                    took[name].append(seconds)
    figures = {f"{name}_ms": statistics.median(seconds) * 1000 for name, seconds in took.items()}
    pairs = {
        "": ("stage", "bare"),
        "_ahead": ("stage_ahead", "bare"),
        "_first": ("stage_first", "bare"),
        "_network": ("stage_first", "bare_network"),
        "_offline": ("stage_offline", "bare_offline"),
    }
    ratios = {
        f"ratio{name}": statistics.median(
            one / other for one, other in zip(took[stage], took[bare], strict=True)
        )
        for name, (stage, bare) in pairs.items()
    }
    return {**figures, **ratios}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    figures = measure(given.rounds)
    if given.json:
        print(json.dumps(figures))
        return
    for name, words in _WAYS.items():
        print(f"{words:<44}{figures[f'{name}_ms']:6.0f} ms")
    print(f"a stage takes longer than bare by {100 * (figures['ratio'] - 1):+.0f} %;")
    print(f"  the first of its run by {100 * (figures['ratio_ahead'] - 1):+.0f} %;")
    print(f"  with a network of its own by {100 * (figures['ratio_first'] - 1):+.0f} %,")
    print(f"  and than bare in a network of its own by {100 * (figures['ratio_network'] - 1):+.0f} %;")
    print(f"  without a network, than bare without one by {100 * (figures['ratio_offline'] - 1):+.0f} %")


if __name__ == "__main__":
    main()
