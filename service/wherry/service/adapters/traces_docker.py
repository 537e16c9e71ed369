"""Finding and removing what services made on a Docker engine: the EngineTraces port."""

from collections.abc import Mapping, Sequence
from typing import Any

from wherry.service.adapters.containers_docker import DockerContainerEngine
from wherry.service.adapters.stage_network_docker import StageNetwork
from wherry.service.ports.containers import ContainerId
from wherry.service.ports.traces import EngineTraces, Trace, TraceKind

SERVICE_LABEL = "wherry.home"
HOME_LABEL = "wherry.path"
_ATTEMPT_LABEL = "wherry.attempt"


class DockerTraces(EngineTraces):
    """Goes by the labels that every service gives to what it makes."""

    def __init__(self, engine: DockerContainerEngine) -> None:
        """Look at this engine."""
        self._engine = engine

    async def list_traces(self) -> Sequence[Trace]:
        """See the port."""
        wanted = {"label": [SERVICE_LABEL, HOME_LABEL]}
        containers = await self._engine.call(lambda client: client.containers(all=True, filters=wanted))
        networks = await self._engine.call(lambda client: client.networks(filters=wanted))
        return [
            *(
                _trace(TraceKind.CONTAINER, found, found["Names"][0].lstrip("/"))
                for found in containers
                # Empty in what somebody runs on an image that a service has made.
                if found["Labels"][SERVICE_LABEL]
            ),
            *(_trace(TraceKind.NETWORK, found, found["Name"]) for found in networks),
        ]

    async def remove_trace(self, trace: Trace) -> None:
        """See the port."""
        if trace.kind is TraceKind.CONTAINER:
            await self._engine.remove(ContainerId(trace.id))
            return
        await self._engine.call(StageNetwork(trace.name).remove)


def _trace(kind: TraceKind, found: Mapping[str, Any], name: str) -> Trace:
    labels = found["Labels"]
    return Trace(
        kind=kind,
        id=found["Id"],
        name=name,
        service=labels[SERVICE_LABEL],
        home=labels[HOME_LABEL],
        attempt=labels.get(_ATTEMPT_LABEL, ""),
    )
