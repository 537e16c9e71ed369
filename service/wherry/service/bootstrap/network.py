"""Find out whether stages can have a network, and see that it goes when the service does."""

import contextlib
from collections.abc import Mapping

from wherry.service.adapters.build_networks_docker import DockerBuildNetworks
from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.engine_client import EngineClient
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


def build_networks(
    settings: Settings,
    labels: Mapping[str, str],
    *,
    service: str,
    client: EngineClient,
    stack: contextlib.AsyncExitStack,
) -> DockerBuildNetworks:
    """Those in which images are made: guarded as that of stages, and others."""
    networks = DockerBuildNetworks(
        client,
        prefix=f"{_BUILD_PREFIX}{service[:7]}",
        network=lambda name: _network(settings, labels, name),
    )
    stack.push_async_callback(networks.close)
    return networks


def _network(settings: Settings, labels: Mapping[str, str], name: str) -> StageNetwork:
    return StageNetwork(
        name, guarded=settings.network_guard == "auto", denied=settings.network_denied, labels=dict(labels)
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
