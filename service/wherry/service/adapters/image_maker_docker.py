"""Making images on a Docker engine: the ports ImageMaker and MadeImages on the Docker SDK.

Packages are installed in a container that becomes the image: as root, or nothing could be written, but without root's rights
over anything else, on the guarded network, in bounds, and without any folder of the host. A Dockerfile goes to the engine's own
builder, whose steps have Docker's default rights, and the same network and bounds: that of processes through a control group above them,
where this machine lets us make one.
"""

import asyncio
import contextlib
import functools
import json
import math
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import docker.errors
import requests
from docker import APIClient
from docker.types import HostConfig, LogConfig, Mount

from wherry.service.adapters.build_context import pack
from wherry.service.adapters.build_disk_docker import BuildDisk
from wherry.service.adapters.build_networks_docker import BuildNetwork, BuildNetworks
from wherry.service.adapters.cgroup_usage import OURS, BoundAccount, CgroupAccounts
from wherry.service.adapters.container_output_docker import OutputRelay
from wherry.service.adapters.engine_client import EngineClient, said_by
from wherry.service.adapters.pip_settings import PipSettings, exports, files_of
from wherry.service.domain.errors import EngineUnavailable, ImageNotMade
from wherry.service.domain.images.dockerfile import lets_engine_fetch
from wherry.service.domain.limits import LOG_LINE_BYTES_MAX
from wherry.service.domain.lines import LineSplitter
from wherry.service.domain.resources import size_text
from wherry.service.ports.images import (
    Content,
    DockerBuild,
    ImageMaker,
    Installation,
    MadeImage,
    MadeImages,
    Tell,
)

# In the tar of a Dockerfile's context; its own ignore file takes both out of what COPY sees.
_DOCKERFILE = ".wherry.Dockerfile"
_IGNORE_FILE = ".dockerignore"

# Half of what a stage has where both want all processors.
_SHARES = 512
_PERIOD_US = 100_000

# Whatever is left then has its turn after the next build.
_CLEAR_AGAIN_S = (0.0, 0.5, 1.0, 2.0)

# Counting what is on the disk may cost a twentieth of the time.
_REST_FOR_EACH_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildLimits:
    """What making an image may use."""

    memory_bytes: int = 4 * 1024**3
    pids_max: int = 4096
    time_s: float = 3600.0
    cpus: float | None = None
    """None: all that there are. Stages come first in any case."""
    disk_bytes: int = 20 * 10**9
    """Of the engine's disk, while it is made."""
    look_every_s: float = 5.0
    """Between two looks at the disk."""


class DockerImageMaker(ImageMaker, MadeImages):
    """Makes images on one engine."""

    def __init__(
        self,
        *,
        client: EngineClient,
        networks: BuildNetworks,
        labels: Mapping[str, str],
        image_labels: Mapping[str, str],
        pip: PipSettings | None = None,
        limits: BuildLimits = BuildLimits(),
    ) -> None:
        """Each image is made in one of `networks`. Containers carry `labels`.

        Images carry `image_labels`: others than those, because a container has the labels of its image too.
        """
        self._networks = networks
        self._labels = dict(labels)
        self._image_labels = dict(image_labels)
        self._pip = pip or PipSettings()
        self._limits = limits
        self._client = client
        self._accounts: CgroupAccounts | None = None
        self._ended: list[tuple[BuildDisk, BoundAccount | None]] = []

    async def install(self, installation: Installation, tell: Tell) -> None:
        """Run the script in a container of the base, and keep that as the image, with the base's own settings."""
        async with self._networks.one() as network:
            await self._install(installation, tell, network)

    async def _install(self, installation: Installation, tell: Tell, network: BuildNetwork) -> None:
        container = await self._client.call(
            functools.partial(self._create, installation=installation, network=network.name)
        )
        disk = BuildDisk(container)
        try:
            files = {**installation.files, **files_of(self._pip)}
            with await self._client.run(
                pack, {name.lstrip("/"): item for name, item in files.items()}
            ) as archive:
                await self._client.call(lambda client: client.put_archive(container, "/", archive))
            async with self._in_bounds(disk, "installing", network):
                code = await self._run_to_end(container, tell)
            if code != 0:
                raise ImageNotMade("the packages could not be installed")
            await tell([b"keeping the image"])
            await self._client.call(
                functools.partial(
                    _commit,
                    container=container,
                    installation=installation,
                    # The engine adds the container's own where they are not said.
                    labels={
                        **dict.fromkeys(self._labels, ""),
                        **installation.labels,
                        **self._image_labels,
                    },
                )
            )
        finally:
            with contextlib.suppress(EngineUnavailable):
                await asyncio.shield(self._client.call(functools.partial(_remove, container=container)))

    async def build(self, build: DockerBuild, tell: Tell) -> None:
        """Send the context to the engine's builder and follow what it does."""
        await self._client.call(functools.partial(_check_triggers, bases=build.bases))
        async with self._networks.one() as network:
            await self._build(build, tell, network)

    async def _build(self, build: DockerBuild, tell: Tell, network: BuildNetwork) -> None:
        files = {
            **build.files,
            _DOCKERFILE: Content(source=build.dockerfile),
            _IGNORE_FILE: Content(source=f"{_DOCKERFILE}\n{_IGNORE_FILE}\n".encode()),
        }
        disk = BuildDisk()
        await self._client.call(disk.begin)
        group = await self._client.call(self._group)
        try:
            with await self._client.run(pack, files) as archive:
                response = await self._client.post(
                    "/build",
                    params=self._parameters(build, network.name, group.parent if group else None),
                    headers={"Content-Type": "application/x-tar"},
                    data=archive,
                )
            if not response.ok:
                bad, said = response.status_code == HTTPStatus.BAD_REQUEST, said_by(response)
                if bad:
                    raise ImageNotMade(f"the engine does not take the Dockerfile: {said}")
                raise EngineUnavailable(f"the Docker engine refused to build: {said}")
            async with self._in_bounds(disk, "the build", network):
                await self._follow(response, disk, tell)
        finally:
            if group is not None:
                group.release()
            self._ended.append((disk, group))
            await asyncio.shield(self._clear_soon())

    def _parameters(self, build: DockerBuild, network: str, group: str | None) -> dict[str, Any]:
        limits = self._limits
        parameters: dict[str, Any] = {
            "t": build.name,
            "dockerfile": _DOCKERFILE,
            "rm": True,
            "forcerm": True,
            "networkmode": network,
            "memory": limits.memory_bytes,
            "memswap": limits.memory_bytes,
            "cpushares": _SHARES,
            "buildargs": json.dumps(dict(build.args)),
            "labels": json.dumps({**build.labels, **self._image_labels}),
        }
        if limits.cpus is not None:
            parameters |= {"cpuperiod": _PERIOD_US, "cpuquota": _quota(limits.cpus)}
        return parameters if group is None else {**parameters, "cgroupparent": group}

    @contextlib.asynccontextmanager
    async def _in_bounds(self, disk: BuildDisk, what: str, network: BuildNetwork) -> AsyncIterator[None]:
        """Break off what takes too long, or too much of the disk.

        Raises:
            ImageNotMade: then, with the bound.
        """
        exceeded = False

        async def watch() -> None:
            nonlocal exceeded
            while True:
                began = time.monotonic()
                # The engine counts for one at a time.
                with contextlib.suppress(EngineUnavailable):
                    if await self._client.call(disk.measure) > self._limits.disk_bytes:
                        exceeded = True
                        bound.reschedule(asyncio.get_running_loop().time())
                        return
                with contextlib.suppress(EngineUnavailable):
                    await network.guard()
                took_s = time.monotonic() - began
                await asyncio.sleep(max(self._limits.look_every_s, _REST_FOR_EACH_S * took_s))

        watching: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(self._limits.time_s) as bound:
                watching = asyncio.create_task(watch())
                yield
        except TimeoutError as exc:
            if exceeded:
                raise ImageNotMade(
                    f"{what} was stopped: it took more than {size_text(self._limits.disk_bytes)} of the disk",
                    hint="Install less, or have the service's operator raise WHERRY_BUILD_DISK_GB.",
                ) from exc
            raise ImageNotMade(f"{what} took longer than {self._limits.time_s:.0f} s") from exc
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    def _group(self, client: APIClient) -> BoundAccount | None:
        """A control group for the containers of a build, with a bound on processes; None: it cannot be made."""
        if self._accounts is None:
            self._accounts = CgroupAccounts.of(client.info())
        if self._accounts is None:
            return None
        parent = self._accounts.parent(f"{OURS}build-{uuid.uuid4().hex}")
        return self._accounts.bound_processes(parent, self._limits.pids_max)

    async def _clear_soon(self) -> None:
        """Remove what builds have left, within a few seconds: the builder removes their containers first."""
        for pause_s in _CLEAR_AGAIN_S:
            await asyncio.sleep(pause_s)
            with contextlib.suppress(EngineUnavailable):
                await self._client.call(self._clear_ended)
            if not self._ended:
                return

    def _clear_ended(self, client: APIClient) -> None:
        for ended in list(self._ended):
            disk, group = ended
            is_clear = disk.remove_rest(client)
            if group is not None and self._accounts is not None:
                is_clear = self._accounts.close(group.parent) and is_clear
            if is_clear and ended in self._ended:
                self._ended.remove(ended)

    async def _follow(self, response: requests.Response, disk: BuildDisk, tell: Tell) -> None:
        async with contextlib.aclosing(self._client.messages(response)) as messages:
            async for message in messages:
                if "error" in message:
                    raise ImageNotMade(f"the image could not be built: {message['error']}")
                disk.hear(str(message.get("stream", "")))
                lines = [line for line in str(message.get("stream", "")).splitlines() if line.strip()]
                if lines:
                    await tell([line[:LOG_LINE_BYTES_MAX].encode() for line in lines])

    async def list_made(self) -> tuple[MadeImage, ...]:
        """Those that carry this service's labels."""
        usage = await self._client.call(lambda client: client.df())
        return tuple(
            MadeImage(
                name=str(name),
                own_bytes=max(0, int(image["Size"]) - max(0, int(image["SharedSize"]))),
                has_containers=int(image["Containers"]) > 0,
            )
            for image in usage["Images"] or ()
            if self._image_labels.items() <= (image["Labels"] or {}).items()
            for name in (image["RepoTags"] or ())[:1]
        )

    async def remove_made(self, name: str) -> None:
        """Remove one; the engine keeps it where a container is on it."""

        def remove(client: APIClient) -> None:
            with contextlib.suppress(docker.errors.NotFound):
                try:
                    client.remove_image(name)
                except docker.errors.APIError as exc:
                    if exc.status_code != HTTPStatus.CONFLICT:
                        raise

        await self._client.call(remove)

    async def _run_to_end(self, container: str, tell: Tell) -> int:
        connection = await self._client.call(
            lambda client: client.attach_socket(container, {"stdout": 1, "stderr": 1, "stream": 1})
        )
        relay = OutputRelay(connection, asyncio.get_running_loop())
        reading = self._client.submit(relay.read_all)
        splitter = LineSplitter(LOG_LINE_BYTES_MAX)
        try:
            await self._client.call(lambda client: client.start(container))
            async for piece in relay.pieces():
                if lines := splitter.feed(piece.data):
                    await tell(lines)
            if lines := splitter.finish():
                await tell(lines)
        finally:
            relay.close()
            await asyncio.shield(reading)
            relay.release()
        answer = await self._client.call(lambda client: client.wait(container))
        return int(answer["StatusCode"])

    def _create(self, client: APIClient, *, installation: Installation, network: str) -> str:
        config = client.create_container_config(
            image=installation.base,
            entrypoint=[""],
            # No variables of the container: the engine would keep them in the image.
            command=["/bin/sh", "-c", f"{exports(self._pip)}{installation.script}"],
            user="0:0",
            working_dir="/",
            labels=self._labels,
            host_config=self._host_config(client, network),
        )
        untyped: Any = client
        return str(untyped.create_container_from_config(config)["Id"])

    def _host_config(self, client: APIClient, network: str) -> HostConfig:
        cpus = self._limits.cpus
        return client.create_host_config(
            network_mode=network,
            cap_drop=["ALL"],
            # Some images keep their packages in folders of a user of theirs.
            cap_add=["DAC_OVERRIDE"],
            security_opt=["no-new-privileges"],
            ipc_mode="private",
            pids_limit=self._limits.pids_max,
            mem_limit=self._limits.memory_bytes,
            memswap_limit=self._limits.memory_bytes,
            cpu_shares=_SHARES,
            cpu_period=None if cpus is None else _PERIOD_US,
            cpu_quota=None if cpus is None else _quota(cpus),
            # Volumes of their own, which go with the container: what is in them is no part of the image.
            mounts=[Mount("/workspace", None, type="volume"), Mount("/tmp", None, type="volume")],  # noqa: S108
            log_config=LogConfig(type="none"),
        )


def _check_triggers(client: APIClient, bases: Sequence[str]) -> None:
    """See that no image that is built upon has the engine fetch something: instructions come with it.

    Raises:
        ImageNotMade: if one does.
    """
    untyped: Any = client
    for base in bases:
        config = untyped.inspect_image(base).get("Config") or {}
        for trigger in config.get("OnBuild") or ():
            if lets_engine_fetch(str(trigger)):
                raise ImageNotMade(
                    f"the image {base} has the engine itself fetch something (ONBUILD {trigger})",
                    hint="Build on an image without it.",
                )


def _quota(cpus: float) -> int:
    return math.ceil(cpus * _PERIOD_US)


def _commit(
    client: APIClient, *, container: str, installation: Installation, labels: Mapping[str, str]
) -> None:
    untyped: Any = client
    config = untyped.inspect_image(installation.base)["Config"]
    config["Labels"] = {**(config.get("Labels") or {}), **labels}
    repository, _, tag = installation.name.partition(":")
    untyped.commit(container, repository, tag, conf=config)


def _remove(client: APIClient, *, container: str) -> None:
    with contextlib.suppress(docker.errors.NotFound):
        client.remove_container(container, force=True, v=True)
