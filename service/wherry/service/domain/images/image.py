"""An image, and the recipes by which one is made out of files of a project."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.snapshot import SnapshotFile

# Changes whenever what is made of the same files does.
_RECIPE_VERSION = 1

INSTALLED = "wherry/requirements"
BUILT = "wherry/build"
"""Repositories of the engine in which made images are; the tag is the recipe's key."""


class PullPolicy(StrEnum):
    """When a registry is asked what a name stands for."""

    ALWAYS = "always"
    """At each submission, if the name has no digest and the image is not one that was made on the engine."""
    MISSING = "missing"
    """When the engine does not have it."""
    NEVER = "never"
    """The engine has it, or it cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A container image, resolved once for a run."""

    name: str
    """As somebody wrote it; for one that is made, what of."""
    digest: str
    """repo@sha256:… where a registry knows it, else the engine's own sha256:… of its configuration. Of one that is made:
    the name that it gets on the engine, which ends in the key of its recipe."""
    platform: str
    """os/architecture."""
    warning: str = field(default="", compare=False)
    """What whoever submits should know about how it was resolved."""
    recipe: "Recipe | None" = field(default=None, repr=False, compare=False)
    """How it is made, if it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedImage:
    """What a name stood for when it was resolved."""

    policy: PullPolicy
    """Under which it was asked for."""
    image: Image
    """By that name; without a recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRecipe:
    """Packages installed on an image, as files of the project list them."""

    base: Image
    script: str
    """What is run in a container of the base, by a shell, to install them."""
    files: Mapping[ProjectPath, SnapshotFile] = field(repr=False)
    """Files of the project that count, as seen from the DVC root."""
    present: Mapping[ProjectPath, SnapshotFile] = field(repr=False, default_factory=dict)
    """Files that are there too, because tools look for them; what is in them does not count, that they are there does."""
    generated: Mapping[str, bytes] = field(repr=False, default_factory=dict)
    """Files made out of the project's, by name; they lie in a folder of their own."""
    root_at: ProjectPath = ROOT
    """The DVC root as seen from the top of the repository."""
    installer: str = ""
    """Name and version of the program that installs."""

    @property
    def bases(self) -> tuple[Image, ...]:
        """The images that have to be at hand before."""
        return (self.base,)

    @property
    def key(self) -> str:
        """Names what is made by content: 64 hex digits."""
        return _hash(
            {
                "version": _RECIPE_VERSION,
                "base": [self.base.digest, self.base.platform],
                "script": self.script,
                "files": _contents(self.files),
                # Of sources that are imported from the workspace only the folders matter to an installer.
                "folders": sorted({path.rpartition("/")[0] for path in self.present}),
                "generated": {name: _digest(content) for name, content in self.generated.items()},
                "root_at": self.root_at,
                "installer": self.installer,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileRecipe:
    """An image that a Dockerfile of the project describes."""

    dockerfile: bytes = field(repr=False)
    """With the images it names by digest."""
    bases: tuple[Image, ...]
    """Those images."""
    platform: str
    files: Mapping[ProjectPath, SnapshotFile] = field(repr=False)
    """The context, without what .dockerignore leaves out; paths are from the context's folder."""
    args: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names what is made by content: 64 hex digits."""
        return _hash(
            {
                "version": _RECIPE_VERSION,
                "dockerfile": _digest(self.dockerfile),
                "platform": self.platform,
                "files": _contents(self.files),
                "args": dict(self.args),
            }
        )


Recipe = InstallRecipe | DockerfileRecipe
"""How an image is made."""


def warnings_of(images: Iterable[Image]) -> tuple[str, ...]:
    """What is to be known about how images, and those below them, were resolved; each once."""
    found, left = list[str](), list(images)
    while left:
        image = left.pop(0)
        if image.warning:
            found.append(image.warning)
        left += image.recipe.bases if image.recipe else ()
    return tuple(dict.fromkeys(found))


def installed_image(recipe: InstallRecipe, listed_in: str) -> Image:
    """The image that a recipe will give."""
    return Image(
        name=f"{listed_in} on {recipe.base.name}",
        digest=f"{INSTALLED}:{recipe.key}",
        platform=recipe.base.platform,
        recipe=recipe,
    )


def built_image(recipe: DockerfileRecipe, dockerfile: ProjectPath) -> Image:
    """The image that a Dockerfile will give."""
    return Image(name=dockerfile, digest=f"{BUILT}:{recipe.key}", platform=recipe.platform, recipe=recipe)


def _contents(files: Mapping[ProjectPath, SnapshotFile]) -> list[list[object]]:
    return sorted([path, file.hash, file.executable] for path, file in files.items())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
