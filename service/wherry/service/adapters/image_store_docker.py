"""The images of a Docker engine, and those that it can fetch: the ImageStore port on the Docker SDK.

Registries are asked through the engine, which knows mirrors, certificates and proxies. Credentials are those of a Docker
configuration file that the operator names, else of the service's own account; they go to the engine with each request and nowhere else.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import docker.auth
import docker.errors
from docker import APIClient

from wherry.service.adapters.engine_client import EngineClient, said_by
from wherry.service.adapters.image_names import (
    HINT,
    asked_digest,
    check_image_name,
    digest_of,
    is_id,
    repository_of,
    tag_of,
)
from wherry.service.domain.errors import EngineUnavailable, ImageNotFound
from wherry.service.domain.images.image import Image, PullPolicy
from wherry.service.ports.images import ImageStore, Tell

_QUOTE_CHARACTERS_MAX = 300

# A registry that is not there makes a submission wait so long, and for a while no other one.
_ASK_S = 15.0
_SLOW_S = 2.0
_SILENT_S = 60.0

# Between two lines about one pull.
_TELL_EVERY_S = 3.0

_HEADER = "X-Registry-Auth"


class DockerImageStore(ImageStore):
    """One engine's images."""

    def __init__(
        self,
        client: EngineClient,
        *,
        credentials: Path | None = None,
        ask_s: float = _ASK_S,
        slow_s: float = _SLOW_S,
    ) -> None:
        """`credentials` is a Docker configuration (config.json) with `auths`, or helpers that give them.

        A registry gets `ask_s` to answer. One that took longer than `slow_s` to say nothing useful is left alone for a
        minute, where there is an image to go on with.
        """
        self._client = client
        self._credentials = credentials
        self._ask_s = ask_s
        self._slow_s = slow_s
        self._silent_until_s: dict[str, float] = {}

    async def resolve(self, name: str, policy: PullPolicy) -> Image:
        """Ask the engine, and its registry where the policy says so.

        An image that was made on the engine, so that no registry knows it under that name, is never asked for: whoever
        gets hold of the name elsewhere must not decide what runs here. When a registry does not answer, or not with an image,
        the one that the engine has is used, with a warning.
        """
        check_image_name(name)
        here = await self._client.call(lambda client: _find(client, name))
        if here is not None:
            is_made = "@" not in here.digest
            if policy is not PullPolicy.ALWAYS or is_made or asked_digest(name):
                return here
        elif policy is PullPolicy.NEVER or is_id(name):
            raise ImageNotFound(f"the image {name!r} is not on the engine", hint=HINT)
        registry, _ = docker.auth.resolve_repository_name(name.partition("@")[0])
        started_s = time.monotonic()
        try:
            return await self._ask_in_time(name, registry, must_know=here is None)
        except (EngineUnavailable, ImageNotFound, TimeoutError) as exc:
            said = exc.message if isinstance(exc, EngineUnavailable | ImageNotFound) else "no answer"
            if time.monotonic() - started_s > self._slow_s:
                self._silent_until_s[registry] = time.monotonic() + _SILENT_S
            if here is None:
                raise ImageNotFound(
                    f"the image {name!r} is not on the engine and cannot be pulled: {_quote(said)}", hint=HINT
                ) from exc
            warning = (
                f"{name}: the registry was asked in vain, the image on the engine is used ({_quote(said)})"
            )
            return Image(name=name, digest=here.digest, platform=here.platform, warning=warning)

    async def holds(self, name: str) -> bool:
        """Whether an image is on the engine, by name, digest or id."""
        return await self._client.call(lambda client: _find(client, name)) is not None

    async def pull(self, image: Image, tell: Tell) -> None:
        """Fetch it by digest, and let the name that was resolved stand for it from now on, as `docker pull` does."""
        repository, _, digest = image.digest.partition("@")
        if not digest:
            raise ImageNotFound(f"the image {image.name!r} is no longer on the engine", hint=HINT)
        await tell([f"pulling {image.name}".encode()])
        response = await self._client.post(
            "/images/create",
            params={"fromImage": repository, "tag": digest},
            headers=await self._client.run(self._header, image.name),
        )
        if not response.ok:
            raise _not_pulled(image, said_by(response))
        progress, told_at = _Progress(), time.monotonic()
        async with contextlib.aclosing(self._client.messages(response)) as messages:
            async for message in messages:
                if "error" in message:
                    raise _not_pulled(image, str(message["error"]))
                progress.take(message)
                if progress.total and time.monotonic() - told_at > _TELL_EVERY_S:
                    told_at = time.monotonic()
                    await tell([progress.line().encode()])
        await tell([f"pulled {image.digest}".encode()])
        if asked_digest(image.name) is None:
            await self._client.call(
                lambda client: client.tag(image.digest, repository_of(image.name), tag_of(image.name))
            )

    async def _ask_in_time(self, name: str, registry: str, *, must_know: bool) -> Image:
        if not must_know and time.monotonic() < self._silent_until_s.get(registry, 0.0):
            raise ImageNotFound("it did not answer a moment ago")
        async with asyncio.timeout(self._ask_s):
            return await self._ask(name)

    async def _ask(self, name: str) -> Image:
        header = await self._client.run(self._header, name)

        def ask(client: APIClient) -> tuple[dict[str, Any], str]:
            # By hand: the SDK's own call takes no credentials but those that it finds itself.
            url = f"{client.base_url}/v{client.api_version}/distribution/{quote(name, safe='/:')}/json"
            answer = client.get(url, headers=header, timeout=self._ask_s)
            if not answer.ok:
                raise ImageNotFound(said_by(answer))
            version = client.version()
            return answer.json(), f"{version['Os']}/{version['Arch']}"

        found, platform = await self._client.call(ask)
        offered = {f"{item.get('os')}/{item.get('architecture')}" for item in found.get("Platforms") or ()}
        if offered and platform not in offered:
            raise ImageNotFound(f"the registry has it for {', '.join(sorted(offered))}, not for {platform}")
        return Image(
            name=name, digest=f"{repository_of(name)}@{found['Descriptor']['digest']}", platform=platform
        )

    def _header(self, name: str) -> Mapping[str, str]:
        """Credentials for the registry of an image, read anew each time: they may have been changed."""
        registry, _ = docker.auth.resolve_repository_name(name.partition("@")[0])
        known = docker.auth.load_config(str(self._credentials) if self._credentials else None)
        found = known.resolve_authconfig(registry)
        return {_HEADER: docker.auth.encode_header(found).decode()} if found else {}


class _Progress:
    """How much of a pull has come, over all layers."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """Take one message of the engine."""
        detail = message.get("progressDetail") or {}
        if message.get("status") == "Downloading" and "total" in detail:
            self._layers[str(message.get("id"))] = (int(detail.get("current", 0)), int(detail["total"]))
        elif message.get("status") in {"Download complete", "Pull complete"}:
            _, total = self._layers.get(str(message.get("id")), (0, 0))
            self._layers[str(message.get("id"))] = (total, total)

    @property
    def total(self) -> int:
        """Bytes of the layers that are known so far."""
        return sum(total for _, total in self._layers.values())

    def line(self) -> str:
        """Say it."""
        come = sum(current for current, _ in self._layers.values())
        return f"pulled {come / 1e6:.0f} of {self.total / 1e6:.0f} MB"


def _find(client: APIClient, name: str) -> Image | None:
    untyped: Any = client
    try:
        found: dict[str, Any] = untyped.inspect_image(name)
    except docker.errors.NotFound:
        return None
    return Image(name=name, digest=digest_of(name, found), platform=f"{found['Os']}/{found['Architecture']}")


def _not_pulled(image: Image, said: str) -> EngineUnavailable:
    return EngineUnavailable(f"the image {image.name!r} cannot be pulled: {_quote(said)}")


def _quote(said: str) -> str:
    return " ".join(said.split())[:_QUOTE_CHARACTERS_MAX]
