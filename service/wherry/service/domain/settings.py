"""Stage settings: `meta.wherry` of a stage over `[defaults]` of .dvc/wherry.toml over the server's default.

Of the project's own settings `trust_dvc` in `[run_cache]` is read. A key that is not known is refused, so that nobody believes in a
limit that is not there.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.images.image import PullPolicy
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.setting_values import (
    ALL_GPUS,
    BuildSettings,
    Reader,
    Undeclared,
    read_build,
    read_bytes,
    read_choice,
    read_count,
    read_cpus,
    read_duration_s,
    read_env,
    read_gpus,
    read_image,
    read_names,
    read_network,
    read_paths,
)
from wherry.service.domain.toml_places import place_of_key, place_of_mistake

__all__ = [
    "ALL_GPUS",
    "SETTINGS_FILE",
    "STAGE_SETTINGS",
    "BuildSettings",
    "ProjectSettings",
    "StageSettings",
    "Undeclared",
    "parse_run_cache_settings",
    "parse_settings_file",
    "parse_stage_settings",
]

SETTINGS_FILE = ProjectPath(".dvc/wherry.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """What a stage's container is to be. None and absent: not said at this level."""

    image: str | None = None
    pull: PullPolicy | None = None
    """When the registry is asked what the image's name stands for."""
    build: BuildSettings | None = None
    """A Dockerfile of the project that makes the image."""
    requirements: tuple[ProjectPath, ...] | None = None
    """Files that list the packages to be installed on the image."""
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    """How many; ALL_GPUS: every one there is."""
    shm_bytes: int | None = None
    """Size of /dev/shm."""
    pids: int | None = None
    timeout_s: float | None = None
    """After so long the command is stopped, and the stage has failed."""
    retries: int | None = None
    """How often a command that failed is run again."""
    mutex: tuple[str, ...] | None = None
    """Names of which no two running stages may share one."""
    network: bool | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] | None = None
    """Names of what the service keeps encrypted and gives to the stage."""
    shell: str | None = None
    """`bash` or `sh`."""
    undeclared: Undeclared | None = None
    """What becomes of a stage that reads project files that it does not declare."""
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)
    """Where each setting is said, by its key."""

    def over(self, other: "StageSettings") -> "StageSettings":
        """These settings, completed by weaker ones. Variables are merged one by one.

        An image here stands against a Dockerfile there, and the other way round; requirements are installed on either.
        """
        merged = {
            item.name: mine if (mine := getattr(self, item.name)) is not None else getattr(other, item.name)
            for item in fields(StageSettings)
        }
        merged["env"] = {**other.env, **self.env}
        merged["places"] = {**other.places, **self.places}
        if self.image is not None:
            merged["build"] = None
        if self.build is not None:
            merged["image"] = None
        return StageSettings(**merged)

    def place(self, key: str, otherwise: Place) -> Place:
        """Where a setting is said; where nobody says it, `otherwise`."""
        return self.places.get(key, otherwise)


_READERS: Mapping[str, tuple[str, Reader]] = {
    "image": ("image", read_image),
    "pull": ("pull", read_choice(*PullPolicy, as_type=PullPolicy)),
    "build": ("build", read_build),
    "requirements": ("requirements", read_paths),
    "cpus": ("cpus", read_cpus),
    "memory": ("memory_bytes", read_bytes),
    "gpus": ("gpus", read_gpus),
    "shm_size": ("shm_bytes", read_bytes),
    "pids": ("pids", read_count(least=1, most=1_000_000)),
    "timeout": ("timeout_s", read_duration_s),
    "retries": ("retries", read_count(least=0, most=100)),
    "mutex": ("mutex", read_names),
    "network": ("network", read_network),
    "env": ("env", read_env),
    "secrets": ("secrets", read_names),
    "shell": ("shell", read_choice("bash", "sh")),
    "undeclared": ("undeclared", read_choice(*Undeclared, as_type=Undeclared)),
}

_OF_THE_CLIENT = frozenset({"server", "project"})

STAGE_SETTINGS = tuple(_READERS)
"""The settings of a stage that are read."""


def field_of(setting: str) -> str:
    """The field of StageSettings that holds a setting."""
    return _READERS[setting][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """What .dvc/wherry.toml says to the service."""

    defaults: StageSettings = field(default_factory=StageSettings)
    """For all stages."""
    trust_dvc: bool = False
    """Whether what laptops recorded, in dvc.lock and in DVC's run cache, may stand for running a stage."""


def parse_stage_settings(
    value: Mapping[str, Any], place: Place, places: Mapping[str, Place] = MappingProxyType({})
) -> StageSettings:
    """Read the mapping under meta.wherry, or under [defaults]. `places` says where each key stands, as far as known.

    Raises:
        PipelineInvalid: for an unknown key or a value of the wrong kind.
    """
    given: dict[str, Any] = {}
    said: dict[str, Place] = {}
    for key, content in value.items():
        at = places.get(key, place)
        if key not in _READERS:
            raise _unknown(key, at)
        if content is not None:
            name, read = _READERS[key]
            given[name], said[key] = read(key, content, at), at
    if "image" in given and "build" in given:
        raise PipelineInvalid(
            "'image' and 'build' both say where the stage runs",
            hint="Remove one of them.",
            place=said["build"],
        )
    return StageSettings(**given, places=said)


def parse_settings_file(data: bytes) -> ProjectSettings:
    """Read `[defaults]` and `[run_cache]` of .dvc/wherry.toml; the rest of the file is the client's.

    Raises:
        PipelineInvalid: if it is not TOML, or one of the tables is wrong.
    """
    place = Place(path=SETTINGS_FILE)
    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError as exc:
        raise PipelineInvalid(f"{SETTINGS_FILE} is not UTF-8 text", place=place) from exc
    except tomllib.TOMLDecodeError as exc:
        raise PipelineInvalid(
            f"{SETTINGS_FILE} is not valid TOML: {exc}", place=place_of_mistake(exc, SETTINGS_FILE)
        ) from exc
    defaults = document.get("defaults", {})
    if not isinstance(defaults, dict):
        raise PipelineInvalid("[defaults] must be a table", place=place)
    return ProjectSettings(
        defaults=parse_stage_settings(
            defaults,
            place,
            {key: place_of_key(data, SETTINGS_FILE, key, "defaults") for key in defaults},
        ),
        trust_dvc=parse_run_cache_settings(
            document.get("run_cache", {}), place_of_key(data, SETTINGS_FILE, "trust_dvc", "run_cache")
        ),
    )


def parse_run_cache_settings(table: object, place: Place) -> bool:
    """Read the table `[run_cache]`: whether DVC's records are trusted.

    Raises:
        PipelineInvalid: for anything but `trust_dvc` with true or false.
    """
    if not isinstance(table, Mapping):
        raise PipelineInvalid("[run_cache] must be a table", place=place)
    for key in table:
        if key != "trust_dvc":
            raise PipelineInvalid(
                f"unknown setting {key!r} in [run_cache]", hint="It has one: trust_dvc.", place=place
            )
    trust = table.get("trust_dvc", False)
    if not isinstance(trust, bool):
        raise PipelineInvalid("the setting 'trust_dvc' must be true or false", place=place)
    return trust


def _unknown(key: str, place: Place) -> PipelineInvalid:
    if key in _OF_THE_CLIENT and place.path == SETTINGS_FILE:
        hint = f"{key!r} stands at the top of {SETTINGS_FILE}, before [defaults]."
        return PipelineInvalid(f"unknown stage setting {key!r}", hint=hint, place=place)
    near = difflib.get_close_matches(str(key), _READERS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known settings: {', '.join(_READERS)}."
    return PipelineInvalid(f"unknown stage setting {key!r}", hint=hint, place=place)
