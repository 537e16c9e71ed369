"""What a stage's container is, in the words of the Docker Engine API.

Here is every promise of isolation: which user, which rights, which folders, which limits. Not here: whether
the stage may have a network at all (the caller decides), and how containers are driven.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker import APIClient
from docker.types import DeviceRequest, Healthcheck, HostConfig, LogConfig, Mount, Ulimit

from wherry.service.domain.errors import EngineUnavailable
from wherry.service.domain.limits import ENGINE_LOG_FILE_BYTES
from wherry.service.domain.shell import SECRETS_AT
from wherry.service.ports.containers import ContainerSpec

# Docker's unit of CPU share: a billionth of one CPU.
_NANO = 1_000_000_000

# Room for as many and as large secrets as a project can have.
_SECRETS_BYTES = 16 * 1024**2

# The engine's own copy of the output, so that what a container writes while the service is being restarted
# can be read again. The "local" driver keeps it in a compact form: flooding it costs a third less time than
# flooding json-file. A file is much longer than what one stage may write to the log: who goes on reading counts from
# the first byte, and an engine that begins another file meanwhile repeats lines or leaves some out (seen with 20.10).
# Two, so that a copy whose beginning was dropped is still long, which tells. No compression: it goes with the container.
_LOG = {"max-size": str(ENGINE_LOG_FILE_BYTES), "max-file": "2", "compress": "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the engine has for a container, beside what its spec says."""

    network: str
    """Name of a network, or "none"."""
    runtime: str
    """The engine's name for what runs the container; empty: its default."""
    tmpfs_bytes: int
    """At most so much in each folder that is in memory."""
    image_volumes: tuple[str, ...] = ()
    """Where the image wants volumes."""


def container_config(client: APIClient, spec: ContainerSpec, means: Means) -> dict[str, Any]:
    """Say how to create the container.

    The only writable places are the workspace, /tmp, the home folder and what the image declares as volumes, all but
    the first in memory and empty: a volume would be the engine's disk, without a limit. What the image says of entry point, command, user, working folder and health
    check does not count; its variables (PATH, for one) do, below those of the spec.
    """
    config: dict[str, Any] = client.create_container_config(
        image=spec.image.digest,
        # One empty string clears the image's entry point (Engine API, ContainerCreate).
        entrypoint=[""],
        command=list(spec.argv),
        environment={**spec.environment, "HOME": spec.home},
        user=spec.user,
        working_dir=spec.working_folder,
        labels=dict(spec.labels),
        healthcheck=Healthcheck(test=["NONE"]),
        host_config=_host_config(client, spec, means),
        # Secrets come that way: what is in a container's configuration the engine writes to its disk.
        stdin_open=bool(spec.secrets),
        tty=False,
    )
    # Whoever is attached closes it: the command then sees its end.
    config["StdinOnce"] = bool(spec.secrets)
    return config


def _host_config(client: APIClient, spec: ContainerSpec, means: Means) -> HostConfig:
    uid, _, gid = spec.user.partition(":")
    in_memory = f"rw,nosuid,nodev,exec,size={means.tmpfs_bytes}"
    taken = {spec.workspace_at, spec.home, "/tmp", SECRETS_AT, *spec.read_only}  # noqa: S108 - inside the container
    limits: dict[str, Any] = {}
    if spec.memory_bytes is not None:
        # Equal, or the engine grants as much swap again.
        limits |= {"mem_limit": spec.memory_bytes, "memswap_limit": spec.memory_bytes}
    if spec.cpus is not None:
        limits["nano_cpus"] = math.ceil(spec.cpus * _NANO)
    if spec.gpus:
        # By index, as `docker run --gpus device=0,1` does: no two stages have one.
        ids = [str(index) for index in spec.gpus]
        limits["device_requests"] = [DeviceRequest(device_ids=ids, capabilities=[["gpu"]])]
    return client.create_host_config(
        network_mode=means.network,
        runtime=means.runtime or None,
        cap_drop=["ALL"],
        # Nothing is said of seccomp: the engine's own default profile holds, which naming would replace.
        security_opt=["no-new-privileges"],
        read_only=True,
        ipc_mode="private",
        # A core dump would be as large as the stage's memory, in its workspace.
        ulimits=[Ulimit(name="core", soft=0, hard=0)],
        # Docker's 64 MiB are too little for workers that share arrays; counted as the stage's memory.
        shm_size=spec.shm_bytes or means.tmpfs_bytes,
        pids_limit=spec.pids_max,
        tmpfs={
            "/tmp": f"{in_memory},mode=1777",  # noqa: S108 - a path inside the container
            **{at: f"{in_memory},mode=1777" for at in means.image_volumes if at.rstrip("/") not in taken},
            **(
                {
                    SECRETS_AT: f"rw,nosuid,nodev,noexec,size={_SECRETS_BYTES},mode=0700,uid={uid},gid={gid or uid}"
                }
                if spec.secrets
                else {}
            ),
            spec.home: f"{in_memory},mode=0700,uid={uid},gid={gid or uid}",
        },
        # Mounts and not binds "a:b": a colon in the path is harmless, a missing folder is an error.
        mounts=[
            Mount(spec.workspace_at, str(spec.workspace), type="bind"),
            *(Mount(at, str(folder), type="bind", read_only=True) for at, folder in spec.read_only.items()),
        ],
        log_config=LogConfig(type="local", config=_LOG),
        **limits,
    )


def lacks_of_isolation(info: Mapping[str, Any], runtime: str) -> str:
    """What the engine, as it describes itself, does not have of what confines a stage; empty: nothing.

    Raises:
        EngineUnavailable: if it has not the runtime that stages are to run in.
    """
    runtimes = info.get("Runtimes") or {}
    if runtime and runtime not in runtimes:
        raise EngineUnavailable(
            f"the engine has no runtime {runtime!r}, only {', '.join(sorted(runtimes))}",
            hint="Install it and name it in the engine's daemon.json, or change WHERRY_CONTAINER_RUNTIME.",
        )
    options = info.get("SecurityOptions") or []
    confined = any("name=seccomp" in option and "unconfined" not in option for option in options)
    return "" if confined else "the engine applies no seccomp profile: stages may ask the kernel for anything"
