"""The values of stage settings: how each kind is written, and what is wrong with one that is not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from wherry.service.domain.errors import PathEscapes, PipelineInvalid, Place
from wherry.service.domain.paths import ROOT, ProjectPath, parse_project_path

ALL_GPUS = -1
"""In place of a number: every GPU of the machine."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])?", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NETWORK = {"allow": True, "true": True, "deny": False, "false": False}
_NAMES_MAX = 100


class Undeclared(StrEnum):
    """What becomes of a stage that reads project files that it does not declare."""

    WARN = "warn"
    """They count for its results, and a warning names them."""
    ERROR = "error"
    """They are hidden from it."""
    IGNORE = "ignore"
    """They do not count, as with DVC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """A Dockerfile of the project; paths are from the DVC root."""

    dockerfile: ProjectPath
    context: ProjectPath = ROOT
    args: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """Reads the value of one setting."""

    def __call__(self, key: str, value: object, place: Place) -> Any:
        """The value.

        Raises:
            PipelineInvalid: naming the setting, and what it may be.
        """
        ...


def _wrong(key: str, must: str, place: Place) -> PipelineInvalid:
    return PipelineInvalid(f"the setting {key!r} must be {must}", place=place)


def read_image(key: str, value: object, place: Place) -> str:
    """An image's name."""
    if not isinstance(value, str) or not value.strip():
        raise _wrong(key, "an image's name", place)
    return value.strip()


def read_build(key: str, value: object, place: Place) -> BuildSettings:
    """A Dockerfile's path, or a mapping of `dockerfile`, `context` and `args`."""
    if isinstance(value, str):
        return BuildSettings(dockerfile=_path(key, value, place))
    if not isinstance(value, Mapping):
        raise _wrong(key, "a Dockerfile's path, or a mapping with dockerfile, context and args", place)
    for name in value:
        if name not in {"dockerfile", "context", "args"}:
            raise PipelineInvalid(
                f"unknown key {name!r} in 'build'", hint="It has: dockerfile, context, args.", place=place
            )
    context = _path("build.context", value.get("context", ""), place, may_be_root=True)
    beside = "Dockerfile" if context == ROOT else f"{context}/Dockerfile"
    return BuildSettings(
        dockerfile=_path("build.dockerfile", value.get("dockerfile", beside), place),
        context=context,
        args=read_env("build.args", value.get("args", {}), place),
    )


def read_paths(key: str, value: object, place: Place) -> tuple[ProjectPath, ...]:
    """A file of the project, or several. An empty list: none, whatever a weaker level says."""
    return tuple(_path(key, item, place) for item in _items(key, value, place))


def read_cpus(key: str, value: object, place: Place) -> float:
    """A number of processors, not necessarily whole."""
    number = _number(value)
    if number is None or not 0.01 <= number <= 10_000:  # noqa: PLR2004 - the engine's least, and a bound
        raise _wrong(key, "a number of processors, such as 4 or 0.5", place)
    return number


def read_bytes(key: str, value: object, place: Place) -> int:
    """A size. The units are binary, as Docker reads them: 1g is 1024m."""
    found = _SIZE.fullmatch(str(value).strip()) if _is_plain(value) else None
    if found is None:
        raise _wrong(key, "a size, such as 512m or 4g (1g is 1024m)", place)
    size = int(float(found[1]) * 1024 ** (" kmgt".index((found[2] or " ").lower())))
    # The engine refuses less than 6 MiB of memory.
    if not 6 * 1024**2 <= size <= 1024**5:
        raise _wrong(key, "a size from 6m to 1024t", place)
    return size


def read_gpus(key: str, value: object, place: Place) -> int:
    """A number of GPUs, or `all`."""
    if value == "all":
        return ALL_GPUS
    number = _number(value)
    if number is None or number != int(number) or not 0 <= number <= 1_000:  # noqa: PLR2004 - a bound
        raise _wrong(key, "a number of GPUs, or 'all'", place)
    return int(number)


def read_duration_s(key: str, value: object, place: Place) -> float:
    """Seconds, or a number with s, m, h or d."""
    found = _DURATION.fullmatch(str(value).strip()) if _is_plain(value) else None
    seconds = float(found[1]) * _SECONDS[(found[2] or "s").lower()] if found else 0.0
    if not 0 < seconds <= 365 * 86400:
        raise _wrong(key, "a time above 0, such as 90 (seconds), 30m or 2h", place)
    return seconds


def read_count(*, least: int, most: int) -> Reader:
    """Make a reader of whole numbers."""

    def read(key: str, value: object, place: Place) -> int:
        number = _number(value)
        if number is None or number != int(number) or not least <= number <= most:
            raise _wrong(key, f"a whole number from {least} to {most}", place)
        return int(number)

    return read


def read_choice(*words: str, as_type: type[StrEnum] | type[str] = str) -> Reader:
    """Make a reader of one of some words."""

    def read(key: str, value: object, place: Place) -> str:
        if value not in words:
            raise _wrong(key, " or ".join(repr(str(word)) for word in words), place)
        return as_type(value)

    return read


def read_network(key: str, value: object, place: Place) -> bool:
    """Whether there is one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _NETWORK:
        return _NETWORK[value]
    raise _wrong(key, "true, false, 'allow' or 'deny'", place)


def read_names(key: str, value: object, place: Place) -> tuple[str, ...]:
    """A name, or several. An empty list: none, whatever a weaker level says."""
    names = _items(key, value, place)
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _wrong(key, "a name, or a list of names, of letters, digits, '_', '.' and '-'", place)
    return tuple(str(name) for name in dict.fromkeys(names))


def read_env(key: str, value: object, place: Place) -> Mapping[str, str]:
    """Variables by name."""
    if not isinstance(value, Mapping):
        raise _wrong(key, "a mapping of names to values", place)
    for name, content in value.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise PipelineInvalid(f"{name!r} is not a name for an environment variable", place=place)
        if not _is_plain(content) or "\0" in str(content):
            raise PipelineInvalid(f"the variable {name!r} must have a string or a number", place=place)
    return {name: str(content) for name, content in value.items()}


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _number(value: object) -> float | None:
    """A finite number, also where it is written as text: flags are."""
    try:
        number = float(value) if isinstance(value, str | int | float) and _is_plain(value) else None
    except (ValueError, OverflowError):
        return None
    return number if number is not None and abs(number) < float("inf") else None


def _items(key: str, value: object, place: Place) -> list[Any]:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len(items) > _NAMES_MAX:
        raise _wrong(key, f"a list of at most {_NAMES_MAX}", place)
    return items


def _path(key: str, value: object, place: Place, *, may_be_root: bool = False) -> ProjectPath:
    if may_be_root and value in {"", "."}:
        return ROOT
    if not isinstance(value, str):
        raise _wrong(key, "a path in the project", place)
    try:
        return parse_project_path(value.removeprefix("./"))
    except PathEscapes as exc:
        raise PipelineInvalid(
            f"the setting {key!r} must be a path in the project: {exc.message}", place=place
        ) from exc
