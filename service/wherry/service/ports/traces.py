"""What services have made on an engine, whichever service it was."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class TraceKind(StrEnum):
    """What it is."""

    CONTAINER = "container"
    NETWORK = "network"
    WORKSPACE = "workspace"
    FILE = "file"
    """Of a transfer that was under way."""
    ACCOUNT = "control group"
    """What the kernel counted for a container."""
    RULES = "firewall rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Something that a service made."""

    kind: TraceKind
    id: str
    """What it is removed by."""
    name: str
    service: str = ""
    """Tells services apart; empty: what is left does not say whose it was."""
    home: str = ""
    """The folder that the service was at work in; empty as for the service."""
    attempt: str = ""
    """For a container of a stage."""


class EngineTraces(Protocol):
    """Finds and removes them. Every method may raise EngineUnavailable."""

    async def list_traces(self) -> Sequence[Trace]:
        """All that carries the labels of a service."""
        ...

    async def remove_trace(self, trace: Trace) -> None:
        """Remove it, in use or not. Harmless when it is gone."""
        ...


class MachineTraces(Protocol):
    """Finds and removes what is left beside the engine. Every method may raise EngineUnavailable."""

    async def list_traces(self, homes: Collection[str]) -> Sequence[Trace]:
        """Files in the folders of services that are gone, and whatever serves no container and no network any more."""
        ...

    async def remove_trace(self, trace: Trace) -> None:
        """Remove it. Harmless when it is gone."""
        ...
