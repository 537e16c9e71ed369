"""Containers on a Docker engine: the ContainerEngine port on the Docker SDK.

Engine 20.10 (API 1.41) and newer. Works with the SDK's low-level client: one HTTP request a step. What a
container may do is in container_spec_docker, its output in container_output_docker, images in image_store_docker.
Not here: anything about runs and stages.
"""

import asyncio
import contextlib
import math
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import docker.errors
from docker import APIClient
from docker.utils import kwargs_from_env

from wherry.service.adapters.container_end_docker import instant, terminate_command, wait_for_end
from wherry.service.adapters.container_logs_docker import LogConnection
from wherry.service.adapters.container_output_docker import OutputRelay
from wherry.service.adapters.container_spec_docker import Means, container_config, lacks_of_isolation
from wherry.service.adapters.engine_errors import engine_errors
from wherry.service.adapters.machine_docker import machine_of
from wherry.service.adapters.network_holders_docker import NetworkHolders, is_holder
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.adapters.usage_docker import ContainerUsage
from wherry.service.domain.errors import EngineUnavailable, ImageNotFound
from wherry.service.domain.resources import Machine
from wherry.service.domain.usage import Usage
from wherry.service.ports.containers import (
    ContainerEngine,
    ContainerId,
    ContainerSpec,
    Exit,
    FoundContainer,
    OutputPiece,
)

_T = TypeVar("_T")

# Docker's own default for a client; creating a container on a loaded machine takes seconds.
_CALL_TIMEOUT_S = 120
_CALL_THREADS = 16

_BAD_REQUEST = 400
_CONFLICT = 409


class DockerContainerEngine(ContainerEngine):
    """One Docker engine, reached at `url`, or where DOCKER_HOST (else the usual socket) says.

    Nothing is asked of the engine before the first call. Close it when done.
    """

    def __init__(
        self,
        *,
        parallel_max: int,
        network: StageNetwork,
        url: str | None = None,
        tmpfs_bytes: int = 1024**3,
        runtime: str = "",
        networks_ahead: int = 0,
    ) -> None:
        """At most `parallel_max` containers are expected to run at a time: more wait for their output.

        `network` is that of containers that may use one; it is made when first needed, and `networks_ahead` places in it
        can be made before (`make_network_ahead`).
        `runtime` is the engine's name for what runs containers, empty for its default. `tmpfs_bytes` bounds each of /tmp, HOME and /dev/shm.
        """
        self._url = url
        self._network = network
        self._tmpfs_bytes = tmpfs_bytes
        self._runtime = runtime
        # What a name by content is does not change.
        self._volumes: dict[str, tuple[str, ...]] = {}
        self._parallel_max = parallel_max
        self._client: APIClient | None = None
        self._client_lock = threading.Lock()
        self._calls = ThreadPoolExecutor(_CALL_THREADS, "docker-call")
        self._streams = ThreadPoolExecutor(parallel_max, "docker-output")
        # A wait and a stop for each container.
        self._waits = ThreadPoolExecutor(2 * parallel_max, "docker-wait")
        self._usage = ContainerUsage()
        self._holders = NetworkHolders(
            network, most=parallel_max, runtime=runtime, later=self._later, ahead=networks_ahead
        )
        self._stopped: set[ContainerId] = set()

    async def version(self) -> str:
        """The engine's version, such as 20.10.24."""
        return str((await self._call(lambda client: client.version()))["Version"])

    @property
    def network_name(self) -> str:
        """The name of the network of stages, and of its bridge."""
        return self._network.name

    async def check_network(self) -> None:
        """See that containers can have a network from which nothing is reached that must not be.

        Raises:
            EngineUnavailable: if not; the text says why, the hint what to do.
        """
        await self._call(self._network.ensure)
        await self._call(self._holders.sweep)

    async def remove_network(self) -> None:
        """Remove the network, and what holds places in it, unless a container still uses it."""
        await self._call(self._holders.close)
        await self._call(self._network.remove)

    async def make_network_ahead(self) -> None:
        """Make what the first container of a group to come uses, where it is lacking and nothing else begins."""
        if self._holders.lacks_ahead():
            await self._call(self._holders.make_ahead)

    async def end_group(self, group: str) -> None:
        """No more containers of this group come: what they have shared is removed, behind the caller's back."""
        self._holders.end(group)

    async def machine(self) -> Machine:
        """What the engine says that it has."""
        return machine_of(await self._call(lambda client: client.info()))

    async def lacks_of_isolation(self) -> str:
        """What the engine does not have of what confines a stage; empty: nothing.

        Raises:
            EngineUnavailable: if it has not the runtime that stages are to run in.
        """
        return lacks_of_isolation(await self._call(lambda client: client.info()), self._runtime)

    async def create(self, spec: ContainerSpec) -> ContainerId:
        """Make a container as container_spec_docker describes; it does not run yet.

        Raises:
            ImageNotFound: if the image has gone from the engine.
        """
        return await self._call(lambda client: self._create(client, spec))

    async def start(self, container: ContainerId, *, stdin: bytes = b"") -> AsyncGenerator[OutputPiece]:
        """Start it, hand it `stdin`, and yield its output, from the first byte, until it has ended.

        Pieces come as soon as they are written. A consumer that stops taking makes the container wait.
        Closing the iterator early does not stop the container. If the engine breaks the connection the
        output ends early; `wait` knows better.

        Raises:
            ImageNotFound: if the image lacks the program to run.
        """
        connection = await self._call(
            lambda client: client.attach_socket(
                container, {"stdin": int(bool(stdin)), "stdout": 1, "stderr": 1, "stream": 1}
            )
        )
        # Attached before the start: the engine drops nothing.
        async with self._reading(connection) as relay:
            await self._call(lambda client: _start(client, container))
            if stdin:
                # A thread of its own kind: a container that does not read makes it wait until it ends.
                await asyncio.get_running_loop().run_in_executor(self._waits, relay.write_all, stdin)
            async for piece in relay.pieces():
                yield piece

    async def output(self, container: ContainerId) -> AsyncGenerator[OutputPiece]:
        """Yield the output of a container that was started before, from the first byte, until it has ended.

        What the engine has dropped of very much output, to keep its copy small, is missing at the beginning.

        Raises:
            EngineUnavailable: also when the container is gone.
        """
        connection = await self._call(lambda client: LogConnection(client, container))
        async with self._reading(connection) as relay:
            async for piece in relay.pieces():
                yield piece

    async def wait(self, container: ContainerId) -> Exit:
        """Return when it has ended, by what the engine says of its state then.

        Raises:
            EngineUnavailable: also when the container has been removed: its end is not known.
        """
        ended = await self._call(
            lambda client: wait_for_end(client, container, was_stopped=lambda: container in self._stopped),
            self._waits,
        )
        self._holders.put_back(container)
        return ended

    async def stop(self, container: ContainerId, *, grace_s: float) -> None:
        """SIGTERM, then after the grace (rounded up to whole seconds, as the engine counts) SIGKILL.

        Where the first process is a shell that does not handle the signal, the command that it waits for gets it.
        """
        grace = math.ceil(grace_s)
        self._stopped.add(container)

        def stop(client: APIClient) -> None:
            if grace:
                terminate_command(client, container)
            with contextlib.suppress(docker.errors.NotFound):
                client.stop(container, timeout=grace)

        await self._call(stop, self._waits)

    async def age_s(self, container: ContainerId) -> float:
        """Seconds since it was started, by this machine's clock; 0 when it was not."""
        state = await self._call(lambda client: client.inspect_container(container)["State"])
        started = instant(state["StartedAt"])
        return 0.0 if started is None else max(0.0, (datetime.now(UTC) - started).total_seconds())

    async def usage(self, container: ContainerId) -> Usage:
        """What it has used so far; when it has ended, where the kernel's accounts are at hand."""
        return await self._call(lambda client: self._usage.read(client, container))

    async def remove(self, container: ContainerId) -> None:
        """Remove it, running or not, and its anonymous volumes. Harmless when it is gone."""

        def remove(client: APIClient) -> None:
            account = self._usage.parent_before_removal(client, container)
            _remove(client, container)
            self._usage.removed(container, account)
            self._holders.put_back(container)
            if self._holders.has_left():
                self._later(self._holders.settle)

        self._stopped.add(container)
        await self._call(remove)
        self._stopped.discard(container)

    async def list_labelled(self, labels: Mapping[str, str]) -> list[FoundContainer]:
        """All containers, ended ones too, that have all these labels; what holds networks for them is not among them."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = await self._call(lambda client: client.containers(all=True, filters={"label": wanted}))
        return [
            FoundContainer(
                id=ContainerId(container["Id"]),
                labels=container["Labels"] or {},
                has_started=container["State"] != "created",
                created_at=datetime.fromtimestamp(container["Created"], UTC),
            )
            for container in found
            if not is_holder(container["Labels"])
        ]

    async def call(self, action: Callable[[APIClient], _T]) -> _T:
        """Do something with the engine's client, for adapters that stand beside this one.

        Raises:
            EngineUnavailable: for whatever the client raises.
        """
        return await self._call(action)

    def close(self) -> None:
        """Let go of threads and connections. Containers go on; calls under way may fail."""
        for pool in (self._calls, self._streams, self._waits):
            pool.shutdown(wait=False, cancel_futures=True)
        with self._client_lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    @contextlib.asynccontextmanager
    async def _reading(self, connection: Any) -> AsyncIterator[OutputRelay]:
        relay = OutputRelay(connection, asyncio.get_running_loop())
        reading = self._streams.submit(relay.read_all)
        try:
            yield relay
        finally:
            relay.close()
            if not reading.cancel():
                await asyncio.shield(asyncio.wrap_future(reading))
            relay.release()

    async def _call(self, action: Callable[[APIClient], _T], pool: Executor | None = None) -> _T:
        def run() -> _T:
            with engine_errors():
                return action(self._connect())

        return await asyncio.get_running_loop().run_in_executor(pool or self._calls, run)

    def _later(self, action: Callable[[APIClient], None]) -> None:
        """Do something when a thread is free. What fails is for whoever finds it not done."""

        def run() -> None:
            with contextlib.suppress(EngineUnavailable), engine_errors():
                action(self._connect())

        with contextlib.suppress(RuntimeError):  # closed: the next life of the service does it
            self._calls.submit(run)

    def _connect(self) -> APIClient:
        with self._client_lock:
            if self._client is None:
                where: Any = {"base_url": self._url} if self._url else kwargs_from_env()
                self._client = APIClient(
                    version="auto",
                    timeout=_CALL_TIMEOUT_S,
                    max_pool_size=_CALL_THREADS + 3 * self._parallel_max,
                    **where,
                )
                # Proxies and .netrc are not for the engine, and looking them up costs every request.
                self._client.trust_env = False
            return self._client

    def _image_volumes(self, client: APIClient, digest: str) -> tuple[str, ...]:
        if digest not in self._volumes:
            untyped: Any = client
            try:
                image: dict[str, Any] = untyped.inspect_image(digest)
            except docker.errors.ImageNotFound:
                return ()  # making the container says so
            self._volumes[digest] = tuple((image.get("Config") or {}).get("Volumes") or ())
        return self._volumes[digest]

    def _create(self, client: APIClient, spec: ContainerSpec) -> ContainerId:
        holder = self._holders.take(spec.name, spec.network_group) if spec.network else None
        try:
            # Asked after one is chosen: if that is not in the network, it has ended.
            if spec.network and holder not in self._network.ensure(client):
                self._holders.drop(spec.name)
                holder = None
            made = self._create_in(client, spec, holder)
        except BaseException:
            self._holders.put_back(spec.name)
            raise
        self._holders.rename(spec.name, made)
        return made

    def _create_in(self, client: APIClient, spec: ContainerSpec, holder: str | None) -> ContainerId:
        network = self._network.name if holder is None else f"container:{holder}"
        means = Means(
            network=network if spec.network else "none",
            runtime=self._runtime,
            tmpfs_bytes=self._tmpfs_bytes,
            image_volumes=self._image_volumes(client, spec.image.digest),
        )
        config = container_config(client, spec, means)
        if (account := self._usage.parent_for(client, spec.name)) is not None:
            config["HostConfig"]["CgroupParent"] = account
        untyped: Any = client
        try:
            made = untyped.create_container_from_config(config, spec.name)
        except docker.errors.ImageNotFound as exc:
            raise ImageNotFound(
                f"the image {spec.image.name!r} ({spec.image.digest}) is no longer on the engine",
                hint="Submit again: the image is then fetched anew.",
            ) from exc
        self._usage.made(made["Id"], account)
        return ContainerId(made["Id"])


def _start(client: APIClient, container: ContainerId) -> None:
    try:
        client.start(container)
    except docker.errors.APIError as exc:
        # The engine's answer when the program to run is not in the image, or cannot be executed.
        if exc.status_code != _BAD_REQUEST:
            raise
        said = " ".join(str(exc.explanation).split())
        raise ImageNotFound(
            f"the image cannot run the stage: {said}",
            hint="A stage needs an image with a shell at /bin/sh: name another one in meta.wherry.image.",
        ) from exc


def _remove(client: APIClient, container: ContainerId) -> None:
    try:
        client.remove_container(container, force=True, v=True)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as exc:
        if exc.status_code != _CONFLICT:  # being removed already
            raise
