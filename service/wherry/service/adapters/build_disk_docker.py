"""How much making an image has put on the engine's disk so far.

The engine is asked: what the containers of the steps have written, with their volumes, and the layers that steps have
left. A build says in its output which containers and images those are. What a step prints can be made to look the same;
then too much is counted, never too little.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

import docker.errors
from docker import APIClient

from wherry.service.domain.errors import ImageNotMade

_CONTAINER = re.compile(r"^ ---> Running in (?P<id>[0-9a-f]{12,64})$", re.MULTILINE)
_IMAGE = re.compile(r"^ ---> (?P<id>[0-9a-f]{12,64})$", re.MULTILINE)

# No Dockerfile has so many steps; what prints more of such lines means harm.
_SEEN_MAX = 2_000


class BuildDisk:
    """Counts for one image in the making. `measure` blocks."""

    def __init__(self, container: str = "") -> None:
        """Begin with this container, if there is one already."""
        self._containers = {container} if container else set[str]()
        # In the order in which they were made.
        self._images: dict[str, None] = {}
        self._layers: dict[str, int] = {}
        self._began: datetime | None = None

    def hear(self, text: str) -> None:
        """Take a piece of what the builder says.

        Raises:
            ImageNotMade: if that names more steps than any build has.
        """
        self._containers |= {found["id"] for found in _CONTAINER.finditer(text)}
        self._images |= dict.fromkeys(found["id"] for found in _IMAGE.finditer(text))
        if len(self._containers) + len(self._images) > _SEEN_MAX:
            raise ImageNotMade("the image could not be built: its steps print what only the builder says")

    def begin(self, client: APIClient) -> None:
        """Look at the engine's clock: images that are older are no part of the build."""
        self._began = datetime.fromisoformat(client.info()["SystemTime"])

    def measure(self, client: APIClient) -> int:
        """Bytes on the engine's disk."""
        usage = client.df()
        volumes = {
            volume["Name"]: max(0, int((volume.get("UsageData") or {}).get("Size", 0)))
            for volume in usage["Volumes"] or ()
        }
        written = sum(
            int(found.get("SizeRw") or 0)
            + sum(volumes.get(str(mount.get("Name")), 0) for mount in found.get("Mounts") or ())
            for found in usage["Containers"] or ()
            if any(found["Id"].startswith(seen) for seen in self._containers)
        )
        return written + sum(self._layer_bytes(client, image) for image in list(self._images))

    def remove_rest(self, client: APIClient) -> bool:
        """Remove what steps have left that is part of no image with a name; False: some of it is in use for a moment.

        The builder keeps it, for a build that begins the same; nothing would ever take it away.
        """
        for image in reversed(list(self._images)):
            found = _inspect(client, image)
            is_own = found is not None and self._is_own(found)
            if found is None or not is_own or found["RepoTags"] or _remove(client, image):
                del self._images[image]
        return not self._images

    def _is_own(self, image: Mapping[str, Any]) -> bool:
        return self._began is not None and datetime.fromisoformat(image["Created"]) >= self._began

    def _layer_bytes(self, client: APIClient, image: str) -> int:
        """What a step has added, if it was made by this build."""
        if image not in self._layers:
            found = _inspect(client, image)
            if found is None or not self._is_own(found):
                self._layers[image] = 0
            else:
                before = _inspect(client, found["Parent"]) if found["Parent"] else None
                self._layers[image] = max(0, int(found["Size"]) - int(before["Size"] if before else 0))
        return self._layers[image]


def _inspect(client: APIClient, image: str) -> Mapping[str, Any] | None:
    untyped: Any = client
    try:
        found: Mapping[str, Any] = untyped.inspect_image(image)
    except docker.errors.NotFound:
        return None
    return found


def _remove(client: APIClient, image: str) -> bool:
    """Whether that is settled: it is gone, or others are made of it."""
    try:
        client.remove_image(image)
    except docker.errors.NotFound:
        return True
    except docker.errors.APIError as exc:
        if exc.status_code != HTTPStatus.CONFLICT:
            raise
        return "dependent child" in str(exc.explanation)
    return True
