"""Settings of the service, from flags, the environment (WHERRY_…) and a file. The only reader of them."""

import difflib
import ipaddress
import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from wherry.service.domain.images.image import PullPolicy

# A number that no ordinary account of the host has; nothing on the host belongs to it.
_STAGE_UID = 10001

# As many as begin at once in most runs; each is a process that waits.
_NETWORKS_AHEAD = 2


def default_home() -> Path:
    """Where the embedded service keeps its state when nothing is said."""
    data = os.environ.get("XDG_DATA_HOME")
    return Path(data) / "wherry" if data else Path.home() / ".local" / "share" / "wherry"


class Settings(BaseSettings):
    """What an operator may choose. Every field can be given as WHERRY_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="WHERRY_", frozen=True, extra="ignore")

    home: Annotated[Path, Field(description="Folder for the database, logs, workspaces and blobs.")] = Field(
        default_factory=default_home
    )
    listen: str = "127.0.0.1:0"
    """host:port for gRPC; port 0: the one used last, else a free one."""
    token: SecretStr = SecretStr("")
    """What callers must show; empty: one is made up and kept in home/token."""
    node: str = Field(default_factory=lambda: os.uname().nodename)
    """Name of this machine in records."""
    jobs: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=1024)
    """How many stages may run at once."""
    stage_cpus: float | None = Field(default=None, gt=0)
    """Processors that stages may use together; none: the engine's, or as many as `jobs` where that is more."""
    stage_memory_gb: float | None = Field(default=None, gt=0)
    """Memory that stages may declare together, in 10^9 bytes; none: the engine's."""
    stage_gpus: int | None = Field(default=None, ge=0)
    """GPUs that stages may use together; none: the engine's."""
    default_image: str = ""
    """Image for stages that name none; empty: such a stage is refused."""
    pull: PullPolicy = PullPolicy.ALWAYS
    """When registries are asked what an image's name stands for, where a stage does not say: always, missing, never."""
    registry_config: Path | None = None
    """Docker configuration file (config.json) with credentials of registries; none: that of the service's account."""
    pip_config: Path | None = None
    """A pip.conf for installing packages into images: index, proxy, credentials. No part of images and keys."""
    pip_ca_bundle: Path | None = None
    """File with the certificate authorities of the package index; none: the usual ones."""
    images_gb: float = Field(default=50.0, ge=0)
    """Bound on images that were made, in 10^9 bytes: those not used for longest go."""
    build_memory_gb: float = Field(default=4.0, gt=0)
    """What making an image may use, in 2^30 bytes."""
    build_cpus: float | None = Field(default=None, gt=0)
    """Processors that making an image may use; none: all of them, behind stages."""
    build_disk_gb: float = Field(default=20.0, gt=0)
    """What an image may take of the engine's disk while it is made, in 10^9 bytes."""
    build_network: bool = True
    """Whether images are made with a network."""
    network: bool = True
    """Whether stages that do not say have a network."""
    network_limit: Literal["allow", "deny"] = "allow"
    """`deny`: no stage has a network, whatever it says."""
    network_guard: Literal["auto", "none"] = "auto"
    """`none`: the operator keeps stages from the machine and the metadata address by other means."""
    network_denied: Annotated[tuple[str, ...], NoDecode] = ()
    """IPv4 networks that stages must not reach either, separated by commas."""
    network_ahead: int | None = Field(default=None, ge=0, le=64)
    """Places in the network that are made before a run needs them; none: two, or as many as `jobs` where that is less."""
    workspace_gb: float | None = Field(default=None, gt=0)
    """What a stage may add to its workspace, in 10^9 bytes; none: half of what is free when it starts."""
    container_runtime: str = ""
    """Runtime class of stages, as the engine calls it, such as runsc; empty: the engine's default."""
    node_cache_gb: float | None = Field(default=None, ge=0)
    """Bound on the node's own copies of blobs, in 10^9 bytes; none: half of the disk that home is on."""
    logs_days: float = Field(default=30.0, gt=0, le=36500)
    """How long the logs of ended runs are kept, in days."""
    logs_gb: float = Field(default=10.0, gt=0)
    """Bound on the logs of runs, in 10^9 bytes: those of runs that ended first go."""
    s3_bucket: str = ""
    """Bucket of the store; empty: an S3 server is started beside the service, with a bucket of its own."""
    s3_prefix: str = ""
    """Folder within the bucket."""
    s3_endpoint: str = ""
    """S3 address; empty: Amazon's own for the region."""
    s3_public_endpoint: str = ""
    """S3 address under which clients reach the bucket for large files; empty: the same."""
    s3_region: str = "us-east-1"
    """Region of the bucket."""
    s3_access_key: str = ""
    """Key id; empty: whatever the machine's role or files give."""
    s3_secret_key: SecretStr = SecretStr("")
    """Secret key."""
    s3_path_style: bool = True
    """Whether addresses have the bucket in the path; else in the host's name, as new buckets of Amazon want it."""
    s3_ca_bundle: str = ""
    """File with the certificate authorities of the endpoint; empty: the usual ones."""
    secrets_key: SecretStr = SecretStr("")
    """Key that secrets of projects are encrypted with, 32 bytes in Base64; empty: made up and kept in home/secrets.key."""
    database_url: str = ""
    """SQLAlchemy URL; empty: SQLite in home."""

    fault_at: str = ""
    """For tests only: the point in the life of an attempt at which the service kills itself; empty: none."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        """The engine mounts workspaces by absolute path."""
        return value.expanduser().absolute()

    @field_validator("network_denied", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(str(ipaddress.IPv4Network(part.strip())) for part in value.split(",") if part.strip())

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("must be HOST:PORT")
        return value

    @property
    def uses_embedded_store(self) -> bool:
        """Whether the service starts an S3 server of its own."""
        return not self.s3_bucket

    @property
    def networks_ahead(self) -> int:
        """How many places in the network are kept ready: where nothing is said, none if stages have none by themselves."""
        if self.network_ahead is not None:
            return self.network_ahead
        return min(self.jobs, _NETWORKS_AHEAD) if self.network else 0

    @property
    def stage_user(self) -> tuple[int, int]:
        """The uid and gid of stages: nobody's when the service is root, else the service's own."""
        return (_STAGE_UID, _STAGE_UID) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


class SettingsFileWrong(Exception):
    """The settings file cannot be read, or sets what there is not."""


def read_settings(file: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Settings from flags, over variables, over a TOML file of the same names in lower case.

    Raises:
        SettingsFileWrong: if the file is no TOML, or has a name that is none of ours.
        ValidationError: if a value is wrong.
    """
    given: dict[str, Any] = {}
    if file is not None:
        try:
            given = tomllib.loads(file.read_text())
        except (OSError, ValueError) as exc:
            raise SettingsFileWrong(f"{file} cannot be read: {exc}") from exc
        for name in given:
            if name not in Settings.model_fields:
                near = difflib.get_close_matches(name, Settings.model_fields, n=1)
                raise SettingsFileWrong(
                    f"{file} sets {name!r}, which is no setting of the service"
                    + (f": did you mean {near[0]!r}?" if near else "")
                )
    said = {name.removeprefix("WHERRY_").lower() for name in os.environ if name.startswith("WHERRY_")}
    return Settings(**{**{name: value for name, value in given.items() if name not in said}, **flags})


def read_or_make_token(settings: Settings) -> str:
    """The token of the service; one that is made up is kept in home/token, readable by its owner only."""
    given = settings.token.get_secret_value()
    path = settings.home / "token"
    if given:
        return given
    if path.exists():
        return path.read_text().strip()
    token = f"wherry_{secrets.token_urlsafe(32)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    return token
