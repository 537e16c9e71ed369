"""What services have made on an engine, whichever service it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class TraceKind(StrEnum):
    """What it is."""

    CONTAINER = "container"
    NETWORK = "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Something that a service made."""

    kind: TraceKind
    id: str
    """The engine's."""
    name: str
    service: str
    """Tells services apart."""
    home: str
    """The folder that the service is at work in."""
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
