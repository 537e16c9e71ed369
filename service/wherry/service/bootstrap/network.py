"""Find out whether stages can have a network, and see that it goes when the service does."""

import contextlib
from collections.abc import Awaitable, Callable

from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.config import Settings
from wherry.service.domain.errors import Unavailable
from wherry.service.domain.network import NetworkPolicy
from wherry.service.ports.event_log import EventLog

# Seven characters of eight are the service's own: an interface's name has at most fifteen.
_PREFIX = "wherry-"
_BUILD_PREFIX = "wherryb"


def stage_network(settings: Settings, labels: dict[str, str], *, service: str) -> StageNetwork:
    """The network of a service; `service` tells it from others of the same engine."""
    return _network(settings, labels, f"{_PREFIX}{service[:8]}")


def build_network(
    settings: Settings,
    labels: dict[str, str],
    *,
    service: str,
    engine: DockerContainerEngine,
    stack: contextlib.AsyncExitStack,
) -> Callable[[], Awaitable[str]]:
    """A way to have the network in which images are made: guarded as that of stages, and another one.

    Steps of a Dockerfile may write frames as they like, and could pretend to others in their network to be its gateway.
    It is made when it is first needed.
    """
    network = _network(settings, labels, f"{_BUILD_PREFIX}{service[:8]}")

    async def ensured() -> str:
        await engine.call(network.ensure)
        return network.name

    async def remove() -> None:
        with contextlib.suppress(Unavailable):
            if await engine.call(lambda client: client.networks(names=[network.name])):
                await engine.call(network.remove)

    stack.push_async_callback(remove)
    return ensured


def _network(settings: Settings, labels: dict[str, str], name: str) -> StageNetwork:
    return StageNetwork(
        name, guarded=settings.network_guard == "auto", denied=settings.network_denied, labels=labels
    )


async def network_policy(
    settings: Settings, engine: DockerContainerEngine, log: EventLog, stack: contextlib.AsyncExitStack
) -> NetworkPolicy:
    """Try the network once: where it cannot be guarded, stages do without, and are told so."""
    if settings.network_limit == "deny":
        return NetworkPolicy(
            default=settings.network,
            withheld="the operator of the service allows none (WHERRY_NETWORK_LIMIT)",
        )
    stack.push_async_callback(_remove, engine, log)
    try:
        await engine.check_network()
    except Unavailable as exc:
        log.warning("stages have no network", reason=exc.message, hint=exc.hint)
        return NetworkPolicy(default=settings.network, withheld=exc.message, hint=exc.hint)
    return NetworkPolicy(default=settings.network)


async def _remove(engine: DockerContainerEngine, log: EventLog) -> None:
    try:
        await engine.remove_network()
    except Unavailable as exc:
        log.warning("the network of stages was left behind", reason=exc.message)
