"""Making images on a Docker engine: the ports ImageMaker and MadeImages on the Docker SDK.

Packages are installed in a container that becomes the image: as root, or nothing could be written, but without root's rights
over anything else, on the guarded network, in bounds, and without any folder of the host. A Dockerfile goes to the engine's own
builder, whose steps have Docker's default rights and the same network and bounds of memory.
"""

import asyncio
import contextlib
import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import docker.errors
import requests
from docker import APIClient
from docker.types import HostConfig, LogConfig, Mount

from wherry.service.adapters.build_context import pack
from wherry.service.adapters.container_output_docker import OutputRelay
from wherry.service.adapters.engine_client import EngineClient, said_by
from wherry.service.domain.errors import EngineUnavailable, ImageNotMade
from wherry.service.domain.limits import LOG_LINE_BYTES_MAX
from wherry.service.domain.lines import LineSplitter
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

_CA_AT = "/tmp/wherry/ca.pem"  # noqa: S108 - inside a container
_PIP_CONFIG_AT = "/tmp/wherry/pip.conf"  # noqa: S108 - inside a container


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildLimits:
    """What making an image may use."""

    memory_bytes: int = 4 * 1024**3
    pids_max: int = 4096
    time_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PipSettings:
    """The operator's own settings of pip. They are no part of images and of no key."""

    config: Path | None = None
    """A pip.conf."""
    ca_bundle: Path | None = None
    """Certificate authorities of the index."""


class DockerImageMaker(ImageMaker, MadeImages):
    """Makes images on one engine."""

    def __init__(
        self,
        *,
        client: EngineClient,
        network: Callable[[], Awaitable[str]] | None,
        labels: Mapping[str, str],
        image_labels: Mapping[str, str],
        pip: PipSettings = PipSettings(),
        limits: BuildLimits = BuildLimits(),
    ) -> None:
        """`network` gives the name of the network to use; None: there is none. Containers carry `labels`.

        Images carry `image_labels`: others than those, because a container has the labels of its image too.
        """
        self._network = network
        self._labels = dict(labels)
        self._image_labels = dict(image_labels)
        self._pip = pip
        self._limits = limits
        self._client = client

    async def install(self, installation: Installation, tell: Tell) -> None:
        """Run the script in a container of the base, and keep that as the image, with the base's own settings."""
        network = await self._network() if self._network else "none"
        container = await self._client.call(
            functools.partial(self._create, installation=installation, network=network)
        )
        try:
            files = {**installation.files, **_pip_files(self._pip)}
            with await self._client.run(
                pack, {name.lstrip("/"): item for name, item in files.items()}
            ) as archive:
                await self._client.call(lambda client: client.put_archive(container, "/", archive))
            async with asyncio.timeout(self._limits.time_s):
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
        except TimeoutError as exc:
            raise ImageNotMade(f"installing took longer than {self._limits.time_s:.0f} s") from exc
        finally:
            with contextlib.suppress(EngineUnavailable):
                await asyncio.shield(self._client.call(functools.partial(_remove, container=container)))

    async def build(self, build: DockerBuild, tell: Tell) -> None:
        """Send the context to the engine's builder and follow what it does."""
        network = await self._network() if self._network else "none"
        files = {
            **build.files,
            _DOCKERFILE: Content(source=build.dockerfile),
            _IGNORE_FILE: Content(source=f"{_DOCKERFILE}\n{_IGNORE_FILE}\n".encode()),
        }
        parameters = {
            "t": build.name,
            "dockerfile": _DOCKERFILE,
            "rm": True,
            "forcerm": True,
            "networkmode": network,
            "memory": self._limits.memory_bytes,
            "memswap": self._limits.memory_bytes,
            "buildargs": json.dumps(dict(build.args)),
            "labels": json.dumps({**build.labels, **self._image_labels}),
        }
        with await self._client.run(pack, files) as archive:
            response = await self._client.post(
                "/build", params=parameters, headers={"Content-Type": "application/x-tar"}, data=archive
            )
        if not response.ok:
            bad, said = response.status_code == HTTPStatus.BAD_REQUEST, said_by(response)
            if bad:
                raise ImageNotMade(f"the engine does not take the Dockerfile: {said}")
            raise EngineUnavailable(f"the Docker engine refused to build: {said}")
        try:
            async with asyncio.timeout(self._limits.time_s):
                await self._follow(response, tell)
        except TimeoutError as exc:
            raise ImageNotMade(f"the build took longer than {self._limits.time_s:.0f} s") from exc

    async def _follow(self, response: requests.Response, tell: Tell) -> None:
        async with contextlib.aclosing(self._client.messages(response)) as messages:
            async for message in messages:
                if "error" in message:
                    raise ImageNotMade(f"the image could not be built: {message['error']}")
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
            command=["/bin/sh", "-c", f"{_exports(self._pip)}{installation.script}"],
            user="0:0",
            working_dir="/",
            labels=self._labels,
            host_config=self._host_config(client, network),
        )
        untyped: Any = client
        return str(untyped.create_container_from_config(config)["Id"])

    def _host_config(self, client: APIClient, network: str) -> HostConfig:
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
            # Volumes of their own, which go with the container: what is in them is no part of the image.
            mounts=[Mount("/workspace", None, type="volume"), Mount("/tmp", None, type="volume")],  # noqa: S108
            log_config=LogConfig(type="none"),
        )


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


def _exports(pip: PipSettings) -> str:
    found = {
        "PIP_NO_INPUT": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
        # Nobody else manages this container's packages.
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        # There is no git folder to take a version from.
        "SETUPTOOLS_SCM_PRETEND_VERSION": "0",
    }
    if pip.config is not None:
        found["PIP_CONFIG_FILE"] = _PIP_CONFIG_AT
    if pip.ca_bundle is not None:
        found |= {"PIP_CERT": _CA_AT, "SSL_CERT_FILE": _CA_AT, "REQUESTS_CA_BUNDLE": _CA_AT}
    return "".join(f"export {name}={value}\n" for name, value in found.items())


def _pip_files(pip: PipSettings) -> dict[str, Content]:
    found = {_PIP_CONFIG_AT: pip.config, _CA_AT: pip.ca_bundle}
    return {at: Content(source=path) for at, path in found.items() if path is not None}
