"""The container engine."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NewType, Protocol

from wherry.service.domain.images.image import Image
from wherry.service.domain.resources import Machine
from wherry.service.domain.usage import Usage

ContainerId = NewType("ContainerId", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """A container to be made."""

    name: str
    image: Image
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    workspace: Path
    """Folder of the host that appears as `workspace_at`, writable."""
    workspace_at: str
    working_folder: str
    """Absolute, inside the container."""
    user: str
    """uid:gid."""
    home: str
    """HOME: a tmpfs that belongs to the user."""
    network: bool
    network_group: str = ""
    """Containers of one group may use one network after another, never at once. Empty: it shares with nobody."""
    read_only: Mapping[str, Path] = field(default_factory=dict)
    """Folders of the host that appear at these absolute paths, and cannot be changed there."""
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(repr=False, default_factory=dict)
    """Values that must stand in no record of the engine: handed over when it runs, masked in what it writes."""
    memory_bytes: int | None = None
    """With everything in /tmp, HOME and /dev/shm; there is no swap beyond it."""
    cpus: float | None = None
    gpus: tuple[int, ...] = ()
    """By index."""
    shm_bytes: int | None = None
    """Size of /dev/shm; None: as much as the engine is set to give."""
    pids_max: int = 4096


class Source(StrEnum):
    """Where a piece of output was written."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class OutputPiece:
    """Bytes that a container wrote, as they came: lines may be cut anywhere."""

    source: Source
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container ended."""

    code: int
    """128 + n for signal n, as shells count."""
    out_of_memory: bool
    ran_s: float | None = field(default=None, compare=False)
    """Seconds from its start to its end, as the engine has noted them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundContainer:
    """A container that is there."""

    id: ContainerId
    labels: Mapping[str, str]
    has_started: bool
    """Whether it runs or has run."""
    created_at: datetime


class ContainerEngine(Protocol):
    """One Docker engine. Every method may raise EngineUnavailable."""

    async def version(self) -> str:
        """The engine's version."""
        ...

    async def check_network(self) -> None:
        """See that containers can have a network from which nothing is reached that must not be.

        Raises:
            EngineUnavailable: if not; the text says why, the hint what to do.
        """
        ...

    async def machine(self) -> Machine:
        """What there is for containers."""
        ...

    async def lacks_of_isolation(self) -> str:
        """What the engine does not have of what confines a stage; empty: nothing.

        Raises:
            EngineUnavailable: if it has not the runtime that stages are to run in.
        """
        ...

    async def create(self, spec: ContainerSpec) -> ContainerId:
        """Make a container: unprivileged, no capabilities, read-only root, limits set."""
        ...

    def start(self, container: ContainerId, *, stdin: bytes = b"") -> AsyncGenerator[OutputPiece]:
        """Start it, hand it `stdin` if its spec has secrets, and yield its output, from the first byte, until it has ended."""
        ...

    def output(self, container: ContainerId) -> AsyncGenerator[OutputPiece]:
        """Yield the output of a container that was started before, from the first byte, until it has ended."""
        ...

    async def wait(self, container: ContainerId) -> Exit:
        """Return when it has ended."""
        ...

    async def stop(self, container: ContainerId, *, grace_s: float) -> None:
        """SIGTERM, then after the grace SIGKILL. Harmless when it has ended."""
        ...

    async def age_s(self, container: ContainerId) -> float:
        """Seconds since it was started; 0 when it was not."""
        ...

    async def usage(self, container: ContainerId) -> Usage:
        """What it has used so far; when it has ended, where the engine still knows."""
        ...

    async def remove(self, container: ContainerId) -> None:
        """Remove it, running or not, and its anonymous volumes. Harmless when it is gone."""
        ...

    async def end_group(self, group: str) -> None:
        """No more containers of this network group come: what they have shared is removed, behind the caller's back."""
        ...

    async def list_labelled(self, labels: Mapping[str, str]) -> list[FoundContainer]:
        """All containers, ended ones too, that have these labels."""
        ...
