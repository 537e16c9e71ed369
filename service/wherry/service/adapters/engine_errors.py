"""What the Docker SDK raises, in the domain's words."""

import contextlib
from collections.abc import Iterator

import docker.errors
import requests.exceptions

from wherry.service.domain.errors import EngineUnavailable

_HINT = "Start Docker on this machine, or set DOCKER_HOST to the engine's address."


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Say in the domain's words what the SDK, or the HTTP library below it, raises."""
    try:
        yield
    except docker.errors.APIError as exc:
        said = " ".join(str(exc.explanation or exc).split())
        raise EngineUnavailable(f"the Docker engine refused: {said}") from exc
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as exc:
        raise EngineUnavailable(f"the Docker engine does not answer: {exc}", hint=_HINT) from exc
