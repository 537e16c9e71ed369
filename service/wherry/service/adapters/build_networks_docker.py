"""Networks in which images are made: each is there for one image, while that is made.

Steps of a Dockerfile may write frames as they like, and could pretend to others in their network to be its gateway.
Nobody else is in there: no stage, and no other build.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from docker import APIClient

from wherry.service.adapters.engine_client import EngineClient
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.domain.errors import EngineUnavailable

# Each is called by a digit of its own.
_DIGITS = "0123456789abcdef"


class BuildNetwork(Protocol):
    """The network of one image that is being made."""

    @property
    def name(self) -> str:
        """How the engine calls it."""
        ...

    async def guard(self) -> None:
        """See that it is there and guarded: a firewall that is loaded anew forgets rules that are not its own."""
        ...


class BuildNetworks(Protocol):
    """Gives one to each image."""

    def one(self) -> contextlib.AbstractAsyncContextManager[BuildNetwork]:
        """One in which nobody is, for as long as it is used.

        Raises:
            EngineUnavailable: if it cannot be had, or not be guarded.
        """
        ...


class NoBuildNetworks(BuildNetworks):
    """Images are made without a network."""

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[BuildNetwork]:
        """See the protocol."""
        yield _None()


class DockerBuildNetworks(BuildNetworks):
    """Those of one service on one engine."""

    def __init__(self, client: EngineClient, *, prefix: str, network: Callable[[str], StageNetwork]) -> None:
        """Their names are `prefix` and a digit; `network` describes the one of a name."""
        self._client = client
        self._prefix = prefix
        self._network = network
        self._taken: set[str] = set()

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[BuildNetwork]:
        """Make one, and remove it afterwards."""
        name = await self._take()
        network = _Guarded(self._client, self._network(name))
        try:
            await network.guard()
            yield network
        finally:
            await asyncio.shield(self._give_back(network))

    async def close(self) -> None:
        """Remove all in which nobody is, those of earlier lives too."""
        with contextlib.suppress(EngineUnavailable):
            for name in await self._client.call(self._list):
                await self._client.call(self._network(name).remove)

    async def _take(self) -> str:
        there = set(await self._client.call(self._list))
        for name in (self._prefix + digit for digit in _DIGITS):
            if name in self._taken:
                continue
            self._taken.add(name)
            try:
                # What was made in one that is still there may have left somebody in it.
                if name not in there or await self._client.call(self._network(name).remove):
                    return name
            except BaseException:
                self._taken.discard(name)
                raise
            self._taken.discard(name)
        raise EngineUnavailable(
            f"somebody is in all the networks in which images are made ({self._prefix}…)",
            hint="`docker ps` shows who: what was left of images that were made can be removed.",
        )

    async def _give_back(self, network: "_Guarded") -> None:
        with contextlib.suppress(EngineUnavailable):
            await network.remove()
        self._taken.discard(network.name)

    def _list(self, client: APIClient) -> list[str]:
        found = client.networks(names=[self._prefix], filters={"label": "wherry"})
        return [str(network["Name"]) for network in found if network["Name"].startswith(self._prefix)]


class _None(BuildNetwork):
    name = "none"

    async def guard(self) -> None:
        """Nothing is reached from it."""


class _Guarded(BuildNetwork):
    def __init__(self, client: EngineClient, network: StageNetwork) -> None:
        self._client = client
        self._network = network
        self._changing = threading.Lock()
        self._is_over = False

    @property
    def name(self) -> str:
        return self._network.name

    async def guard(self) -> None:
        def ensure(client: APIClient) -> None:
            # Whoever asked may have been told to end while this waited.
            with self._changing:
                if not self._is_over:
                    self._network.ensure(client)

        await self._client.call(ensure)

    async def remove(self) -> None:
        def remove(client: APIClient) -> None:
            with self._changing:
                self._is_over = True
                self._network.remove(client)

        await self._client.call(remove)
