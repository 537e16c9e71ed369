"""How a container ended, and whether it ended because its engine did."""

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import docker.errors
import requests.exceptions
from docker import APIClient

from wherry.service.domain.errors import EngineUnavailable
from wherry.service.ports.containers import ContainerId, Exit

# Between two looks at a container whose wait was broken off, or that was not started yet.
_LOOK_AGAIN_S = 0.2
_NOT_STARTED_WAIT_S = 1

_ENDED = frozenset({"exited", "dead"})

# What a container is ended with by an engine that stops (SIGTERM, SIGKILL) or that finds it dead at its start.
_ENGINES_OWN = frozenset({137, 143, 255})

# An engine that stops its containers is itself gone shortly after.
_GONE_WITHIN_S = 3.0


# The engine signals the first process only, and that takes no signal that it does not handle: what a plain shell
# waits for would never know. Bit 14 of SigCgt says whether SIGTERM is handled (proc(5)).
_TERMINATE = """\
while read -r name caught; do [ "$name" = SigCgt: ] && break; done </proc/1/status
case ${caught%???} in *[4567cdef]) exit;; esac
read -r children </proc/1/task/1/children
kill -TERM $children
"""


def terminate_command(client: APIClient, container: ContainerId) -> None:
    """Send SIGTERM, from within, to what a shell that does not handle it waits for.

    Where that is not possible so be it: the grace passes, and it is killed.
    """
    with contextlib.suppress(docker.errors.APIError):
        made = client.exec_create(container, ["/bin/sh", "-c", _TERMINATE])
        client.exec_start(made["Id"])


def wait_for_end(client: APIClient, container: ContainerId, *, was_stopped: Callable[[], bool]) -> Exit:
    """Return when it has ended. Never trusts a wait: the engine can break it off while the container runs on (moby 27987).

    Raises:
        EngineUnavailable: also if it was the engine that ended it, and not whoever asked that it be stopped.
    """
    was_broken = False
    while True:
        broken = False
        try:
            client.wait(container, timeout=None, condition="not-running")
        except docker.errors.NotFound as exc:
            raise EngineUnavailable(f"the container {container[:12]} is gone: its end is not known") from exc
        except (docker.errors.APIError, requests.exceptions.RequestException):
            broken = was_broken = True
        state = client.inspect_container(container)["State"]
        if state["Status"] in _ENDED:
            ended = Exit(
                code=int(state["ExitCode"]), out_of_memory=bool(state["OOMKilled"]), ran_s=_seconds(state)
            )
            if ended.code in _ENGINES_OWN and not ended.out_of_memory and not was_stopped():
                _expect_engine(client, was_broken=was_broken)
            return ended
        if state["Status"] == "created":
            # Neither running nor ended. Waits in parts, because it can end before this wait is set up.
            with contextlib.suppress(requests.exceptions.RequestException):
                client.wait(container, timeout=_NOT_STARTED_WAIT_S, condition="next-exit")
        elif broken:
            time.sleep(_LOOK_AGAIN_S)


def _expect_engine(client: APIClient, *, was_broken: bool) -> None:
    """See that the engine, under which a container was killed, goes on.

    Raises:
        EngineUnavailable: if it does not, or has been away meanwhile.
    """
    said = "the Docker engine was stopped, and the stage with it"
    if was_broken:
        raise EngineUnavailable(said)
    until = time.monotonic() + _GONE_WITHIN_S
    while time.monotonic() < until:
        try:
            client.ping()
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as exc:
            raise EngineUnavailable(said) from exc
        time.sleep(_LOOK_AGAIN_S)


def _seconds(state: Mapping[str, Any]) -> float | None:
    """From start to end."""
    started, ended = instant(state["StartedAt"]), instant(state["FinishedAt"])
    return None if started is None or ended is None else max(0.0, (ended - started).total_seconds())


def instant(text: str) -> datetime | None:
    """The engine writes nanoseconds, of which Python reads six digits, and the year 1 for never."""
    try:
        read = datetime.fromisoformat(f"{text[:19]}{text[19:26].rstrip('Z')}+00:00")
    except ValueError:
        return None
    return read.astimezone(UTC) if read.year > 1 else None
