"""Stage settings: `meta.wherry` of a stage over `[defaults]` of .dvc/wherry.toml over the server's default.

This version reads `image`, `network` and `env`, and of the project's own settings `trust_dvc` in `[run_cache]`. A key it does not read is refused, so that nobody
believes in a limit that is not there.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath

SETTINGS_FILE = ProjectPath(".dvc/wherry.toml")

_KNOWN = ("image", "network", "env")
_LATER = (
    "build",
    "requirements",
    "cpus",
    "memory",
    "gpus",
    "shm_size",
    "timeout",
    "retries",
    "secrets",
    "mutex",
)
STAGE_SETTINGS = _KNOWN
"""The settings of a stage that are read."""
_NETWORK = {"allow": True, "deny": False}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """What a stage's container is to be. None and absent: not said at this level."""

    image: str | None = None
    network: bool | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: "StageSettings") -> "StageSettings":
        """These settings, completed by weaker ones. Variables are merged one by one."""
        return StageSettings(
            image=self.image if self.image is not None else other.image,
            network=self.network if self.network is not None else other.network,
            env={**other.env, **self.env},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """What .dvc/wherry.toml says to the service."""

    defaults: StageSettings = field(default_factory=StageSettings)
    """For all stages."""
    trust_dvc: bool = False
    """Whether what laptops recorded, in dvc.lock and in DVC's run cache, may stand for running a stage."""


def parse_stage_settings(value: Mapping[str, Any], place: Place) -> StageSettings:
    """Read the mapping under meta.wherry, or under [defaults].

    Raises:
        PipelineInvalid: for an unknown key or a value of the wrong kind.
    """
    for key in value:
        _check_key(key, place)
    return StageSettings(
        image=_image(value.get("image"), place),
        network=_network(value.get("network"), place),
        env=_env(value.get("env"), place),
    )


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
        raise PipelineInvalid(f"{SETTINGS_FILE} is not valid TOML: {exc}", place=place) from exc
    defaults = document.get("defaults", {})
    if not isinstance(defaults, dict):
        raise PipelineInvalid("[defaults] must be a table", place=place)
    return ProjectSettings(
        defaults=parse_stage_settings(defaults, place),
        trust_dvc=parse_run_cache_settings(document.get("run_cache", {}), place),
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


def _check_key(key: str, place: Place) -> None:
    if key in _KNOWN:
        return
    if key in _LATER:
        raise PipelineInvalid(
            f"the stage setting {key!r} is not read by this version of Wherry",
            hint=f"Remove it; settings read now: {', '.join(_KNOWN)}.",
            place=place,
        )
    near = difflib.get_close_matches(str(key), _KNOWN, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known settings: {', '.join(_KNOWN)}."
    raise PipelineInvalid(f"unknown stage setting {key!r}", hint=hint, place=place)


def _image(value: object, place: Place) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise PipelineInvalid("the setting 'image' must be an image's name", place=place)
    return value.strip()


def _network(value: object, place: Place) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _NETWORK:
        return _NETWORK[value]
    raise PipelineInvalid("the setting 'network' must be true, false, 'allow' or 'deny'", place=place)


def _env(value: object, place: Place) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PipelineInvalid("the setting 'env' must map names to values", place=place)
    for name, content in value.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise PipelineInvalid(f"{name!r} is not a name for an environment variable", place=place)
        if not isinstance(content, str | int | float) or isinstance(content, bool):
            raise PipelineInvalid(f"the variable {name!r} must have a string or a number", place=place)
    return {name: str(content) for name, content in value.items()}
