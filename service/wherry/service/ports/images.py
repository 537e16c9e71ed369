"""Making images, and having them at hand."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from wherry.service.domain.images.image import Image, PullPolicy

Tell = Callable[[Sequence[bytes]], Awaitable[None]]
"""Takes lines that are written while an image is pulled or made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file that goes into a build."""

    source: Path | bytes
    """A file of this machine, or the content itself."""
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A script run in a container of a base, after which that is an image."""

    name: str
    """What the image is called."""
    base: str
    """Name or digest of an image that is at hand."""
    script: str
    files: Mapping[str, Content] = field(repr=False)
    """By absolute path in the container. Below /workspace and /tmp, and not in the image."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerBuild:
    """An image as a Dockerfile describes it."""

    name: str
    dockerfile: bytes = field(repr=False)
    files: Mapping[str, Content] = field(repr=False)
    """By path in the context."""
    bases: tuple[str, ...] = ()
    """The images that it is based on or copies from; they are on the engine."""
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class ImageStore(Protocol):
    """The images that an engine has or can have. Every method may raise EngineUnavailable."""

    async def resolve(self, name: str, policy: PullPolicy) -> Image:
        """Say which content a name stands for; nothing is fetched.

        Raises:
            ImageNotFound: if it is malformed, or neither on the engine nor to be had.
        """
        ...

    async def holds(self, name: str) -> bool:
        """Whether an image is on the engine."""
        ...

    async def pull(self, image: Image, tell: Tell) -> None:
        """Fetch what a name was resolved to, and tell how far that is.

        Raises:
            EngineUnavailable: also if the registry does not give it now.
        """
        ...


class ImageMaker(Protocol):
    """Makes images on an engine. Every method may raise EngineUnavailable.

    Cancelling ends what was begun; nothing of it is left.
    """

    async def install(self, installation: Installation, tell: Tell) -> None:
        """Make an image by running a script.

        Raises:
            ImageNotMade: if the script fails.
        """
        ...

    async def build(self, build: DockerBuild, tell: Tell) -> None:
        """Make an image out of a Dockerfile.

        Raises:
            ImageNotMade: if a step of it fails.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeImage:
    """An image that this service has made."""

    name: str
    own_bytes: int
    """Of its layers, those that no other image has."""
    has_containers: bool


class MadeImages(Protocol):
    """The images on an engine that this service has made. Every method may raise EngineUnavailable."""

    async def list_made(self) -> tuple[MadeImage, ...]:
        """All of them."""
        ...

    async def remove_made(self, name: str) -> None:
        """Remove one. Harmless when it is gone, or in use after all."""
        ...


class ImageUses(Protocol):
    """When images were used last. It survives the service; losing it does no harm."""

    async def note(self, name: str, at: datetime) -> None:
        """Remember a use."""
        ...

    async def forget(self, name: str) -> None:
        """Drop what is known of an image that is gone."""
        ...

    async def all(self) -> Mapping[str, datetime]:
        """The last use of each."""
        ...
