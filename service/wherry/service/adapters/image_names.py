"""Names of images: their form, and which of an image's digests answers to one."""

import re
from collections.abc import Mapping
from typing import Any

from wherry.service.domain.errors import ImageNotFound

# The form of the distribution project's "reference": [host[:port]/]path[:tag][@digest], or the id of an image.
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"sha256:[0-9a-f]{64}"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_HOST}/)?{_PATH_PART}(?:/{_PATH_PART})*)"
    rf"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?"
)
_REFERENCE_CHARACTERS_MAX = 500

HINT = (
    "Build or pull it on the engine's machine, or name another image in stages.X.meta.wherry.image of "
    "dvc.yaml or in .dvc/wherry.toml."
)


def check_image_name(name: str) -> None:
    """Let only well-formed references through to the engine.

    Raises:
        ImageNotFound: if it is none.
    """
    short_enough = len(name) <= _REFERENCE_CHARACTERS_MAX
    if not short_enough or not (_REFERENCE.fullmatch(name) or is_id(name)):
        raise ImageNotFound(
            f"{name[:80]!r} is not the name of an image",
            hint="An image is named like python:3.11-slim or registry.example.org/team/image@sha256:….",
        )


def is_id(name: str) -> bool:
    """Whether it is the engine's own name for an image."""
    return re.fullmatch(_DIGEST, name) is not None


def asked_digest(name: str) -> str | None:
    """The digest in a name."""
    found = _REFERENCE.fullmatch(name)
    return found["digest"] if found else None


def repository_of(name: str) -> str:
    """The repository of a name, as the engine writes it."""
    found = _REFERENCE.fullmatch(name)
    return _familiar(found["repository"]) if found else ""


def tag_of(name: str) -> str:
    """The tag of a name that has no digest; `latest` where it has none either."""
    found = _REFERENCE.fullmatch(name)
    return (found["tag"] if found else None) or "latest"


def digest_of(name: str, found: Mapping[str, Any]) -> str:
    """The name by which a registry knows this content, if one does; else the engine's own."""
    known = sorted(found.get("RepoDigests") or ())
    repository = repository_of(name)
    same = [digest for digest in known if _familiar(digest.partition("@")[0]) == repository]
    # One image can stand under several digests of a repository: the one asked for counts.
    asked = [digest for digest in same if digest.endswith(f"@{asked_digest(name)}")]
    return str((asked or same)[0]) if same else str(found["Id"])


def _familiar(repository: str) -> str:
    """Docker Hub's repositories have long and short names; give the short one."""
    return repository.removeprefix("docker.io/").removeprefix("library/")
