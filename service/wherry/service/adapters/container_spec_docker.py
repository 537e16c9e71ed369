"""What a stage's container is, in the words of the Docker Engine API.

Here is every promise of isolation: which user, which rights, which folders, which limits. Not here: whether
the stage may have a network at all (the caller decides), and how containers are driven.
"""

import math
from typing import Any

from docker import APIClient
from docker.types import DeviceRequest, Healthcheck, HostConfig, LogConfig, Mount

from wherry.service.domain.shell import SECRETS_AT
from wherry.service.ports.containers import ContainerSpec

# Docker's unit of CPU share: a billionth of one CPU.
_NANO = 1_000_000_000

# Room for as many and as large secrets as a project can have.
_SECRETS_BYTES = 16 * 1024**2

# The engine's own copy of the output, so that what a container writes while the service is being restarted
# can be read again. The "local" driver keeps it in a compact form: flooding it costs a third less time than
# flooding json-file. Two files of 32 MiB are what one stage may write to the log, no compression: it is
# thrown away with the container.
_LOG = {"max-size": "32m", "max-file": "2", "compress": "false"}


def container_config(
    client: APIClient, spec: ContainerSpec, *, network: str, tmpfs_bytes: int
) -> dict[str, Any]:
    """Say how to create the container; `network` is the name of a network, or "none".

    The only writable places are the workspace, /tmp and the home folder, the latter two in memory and of at
    most `tmpfs_bytes` each. What the image says of entry point, command, user, working folder and health
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
        host_config=_host_config(client, spec, network=network, tmpfs_bytes=tmpfs_bytes),
        # Secrets come that way: what is in a container's configuration the engine writes to its disk.
        stdin_open=bool(spec.secrets),
        tty=False,
    )
    # Whoever is attached closes it: the command then sees its end.
    config["StdinOnce"] = bool(spec.secrets)
    return config


def _host_config(client: APIClient, spec: ContainerSpec, *, network: str, tmpfs_bytes: int) -> HostConfig:
    uid, _, gid = spec.user.partition(":")
    in_memory = f"rw,nosuid,nodev,exec,size={tmpfs_bytes}"
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
        network_mode=network,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=True,
        ipc_mode="private",
        # Docker's 64 MiB are too little for workers that share arrays; counted as the stage's memory.
        shm_size=spec.shm_bytes or tmpfs_bytes,
        pids_limit=spec.pids_max,
        tmpfs={
            "/tmp": f"{in_memory},mode=1777",  # noqa: S108 - a path inside the container
            **(
                {
                    SECRETS_AT: f"rw,nosuid,nodev,noexec,size={_SECRETS_BYTES},mode=0700,uid={uid},gid={gid or uid}"
                }
                if spec.secrets
                else {}
            ),
            spec.home: f"{in_memory},mode=0700,uid={uid},gid={gid or uid}",
        },
        # A mount and not a bind "a:b": a colon in the path is harmless, a missing folder is an error.
        mounts=[
            Mount(spec.workspace_at, str(spec.workspace), type="bind"),
            *(Mount(at, str(folder), type="bind", read_only=True) for at, folder in spec.read_only.items()),
        ],
        log_config=LogConfig(type="local", config=_LOG),
        **limits,
    )
