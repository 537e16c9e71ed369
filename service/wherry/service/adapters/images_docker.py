"""Container images on a Docker engine: what a name means, and fetching what is not there.

Not here: building images, and credentials of registries beyond those in the service's own Docker
configuration.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import docker.errors
from docker import APIClient

from wherry.service.domain.errors import ImageNotFound
from wherry.service.domain.images.image import Image

# The form of the distribution project's "reference": [host[:port]/]path[:tag][@digest], or the id of an image.
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"sha256:[0-9a-f]{64}"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_HOST}/)?{_PATH_PART}(?:/{_PATH_PART})*)"
    rf"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?"
)
_REFERENCE_CHARACTERS_MAX = 500
_QUOTE_CHARACTERS_MAX = 300

_HINT = (
    "Build or pull it on the engine's machine, or name another image in stages.X.meta.wherry.image of "
    "dvc.yaml or in .dvc/wherry.toml."
)


def check_image_name(name: str) -> None:
    """Let only well-formed references through to the engine.

    Raises:
        ImageNotFound: if it is none.
    """
    short_enough = len(name) <= _REFERENCE_CHARACTERS_MAX
    if not short_enough or not (_REFERENCE.fullmatch(name) or re.fullmatch(_DIGEST, name)):
        raise ImageNotFound(
            f"{name[:80]!r} is not the name of an image",
            hint="An image is named like python:3.11-slim or registry.example.org/team/image@sha256:….",
        )


def find_image(client: APIClient, name: str) -> Image | None:
    """Describe an image that is on the engine; None if it is not there."""
    untyped: Any = client
    try:
        found: dict[str, Any] = untyped.inspect_image(name)
    except docker.errors.NotFound:
        return None
    return Image(name=name, digest=_digest(name, found), platform=f"{found['Os']}/{found['Architecture']}")


def pull_image(client: APIClient, name: str) -> None:
    """Fetch an image from its registry. Without a tag: `latest`, never all tags.

    Raises:
        ImageNotFound: if the registry does not give it, or there is no such registry.
    """
    if re.fullmatch(_DIGEST, name):
        raise ImageNotFound(f"no image on the engine has the id {name}", hint=_HINT)
    try:
        _raise_on_error(name, client.pull(name, stream=True, decode=True))
    except docker.errors.APIError as exc:
        raise _not_found(name, str(exc.explanation or exc)) from exc


def _raise_on_error(name: str, progress: Iterable[Mapping[str, Any]]) -> None:
    for line in progress:
        if "error" in line:
            raise _not_found(name, str(line["error"]))


def _not_found(name: str, said: str) -> ImageNotFound:
    quote = " ".join(said.split())[:_QUOTE_CHARACTERS_MAX]
    return ImageNotFound(f"the image {name!r} is not on the engine and cannot be pulled: {quote}", hint=_HINT)


def _digest(name: str, found: Mapping[str, Any]) -> str:
    """The name by which a registry knows this content, if one does; else the engine's own."""
    match = _REFERENCE.fullmatch(name)
    known = sorted(found.get("RepoDigests") or ())
    if match:
        repository = _familiar(match["repository"])
        same = [digest for digest in known if _familiar(digest.partition("@")[0]) == repository]
        # One image can stand under several digests of a repository: the one asked for counts.
        asked = [digest for digest in same if digest.endswith(f"@{match['digest']}")]
        if asked or same:
            return str((asked or same)[0])
    return str(found["Id"])


def _familiar(repository: str) -> str:
    """Docker Hub's repositories have long and short names; give the short one."""
    return repository.removeprefix("docker.io/").removeprefix("library/")
