"""Shell scripts on the machine that the engine's containers are on.

Here, when that is this machine and we may; else through the engine: in a container that has nothing of its own,
sees the machine's programs read-only, and may do one thing more than others, administer its network. No image that
anybody could have prepared is given that right.
"""

import contextlib
import io
import subprocess
import tarfile
from typing import Any

import docker.errors
from docker import APIClient
from docker.types import HostConfig, LogConfig, Mount

# An image without a single file: the container's programs are the machine's.
_EMPTY_IMAGE = "wherry/empty:1"
_PROGRAM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

_TIMEOUT_S = 30


class CommandFailed(Exception):
    """A script could not be run, or failed. The text says what it said."""


def run_here(script: str) -> str:
    """Run a script with this machine's /bin/sh; returns what it wrote.

    Raises:
        CommandFailed: if it fails.
    """
    try:
        done = subprocess.run(
            ["/bin/sh", "-euc", script],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env=dict([_PATH.split("=", 1)]),
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandFailed(str(exc)) from exc
    if done.returncode:
        raise CommandFailed(_said(done.stderr))
    return done.stdout


def run_on_engine_host(client: APIClient, script: str, *, labels: dict[str, str]) -> None:
    """Run a script with the /bin/sh of the engine's machine, in that machine's network.

    Raises:
        CommandFailed: if it fails, or the engine's machine has no such programs.
    """
    try:
        _make_empty_image(client)
        untyped: Any = client
        made = untyped.create_container_from_config(_config(client, script, labels))
    except docker.errors.APIError as exc:
        raise CommandFailed(_said(str(exc.explanation or exc))) from exc
    container = made["Id"]
    try:
        client.start(container)
        code = client.wait(container, timeout=_TIMEOUT_S)["StatusCode"]
        said = client.logs(container, stdout=False, stderr=True).decode(errors="replace")
    except docker.errors.APIError as exc:
        raise CommandFailed(_said(str(exc.explanation or exc))) from exc
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            client.remove_container(container, force=True, v=True)
    if code:
        raise CommandFailed(_said(said))


def _config(client: APIClient, script: str, labels: dict[str, str]) -> dict[str, object]:
    host: HostConfig = client.create_host_config(
        network_mode="host",
        cap_drop=["ALL"],
        cap_add=["NET_ADMIN", "NET_RAW"],
        security_opt=["no-new-privileges"],
        read_only=True,
        # iptables keeps a lock there.
        tmpfs={"/run": "rw,nosuid,nodev,noexec,size=1048576"},
        mounts=[Mount(folder, folder, type="bind", read_only=True) for folder in _PROGRAM_FOLDERS],
        log_config=LogConfig(type="json-file"),
    )
    config: dict[str, object] = client.create_container_config(
        image=_EMPTY_IMAGE,
        entrypoint=["/bin/sh"],
        command=["-euc", script],
        environment=[_PATH],
        user="0:0",
        labels=labels,
        host_config=host,
    )
    return config


def _make_empty_image(client: APIClient) -> None:
    untyped: Any = client
    try:
        untyped.inspect_image(_EMPTY_IMAGE)
    except docker.errors.ImageNotFound:
        nothing = io.BytesIO()
        with tarfile.open(fileobj=nothing, mode="w"):
            pass
        repository, _, tag = _EMPTY_IMAGE.partition(":")
        client.import_image_from_data(nothing.getvalue(), repository=repository, tag=tag)


def _said(text: str) -> str:
    return " ".join(text.split()) or "it failed without a word"
