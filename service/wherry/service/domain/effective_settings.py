"""The settings of a stage as people read them: what counts, and who says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wherry.service.domain.errors import Place
from wherry.service.domain.paths import ROOT
from wherry.service.domain.setting_values import ALL_GPUS, BuildSettings
from wherry.service.domain.settings import STAGE_SETTINGS, StageSettings, field_of

SERVER = "server default"
"""Where a value comes from that no file and no flag says."""

_SIZES = (("t", 1024**4), ("g", 1024**3), ("m", 1024**2), ("k", 1024))
_TIMES = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSetting:
    """One setting that counts for a stage."""

    name: str
    value: str
    """As it would be written. Of variables only the names."""
    origin: str
    """Its place, or `server default`."""


def effective_settings(settings: StageSettings, server: Mapping[str, str]) -> tuple[EffectiveSetting, ...]:
    """All that is said of a stage, in the order of the documentation; `server` has what counts where nothing is said."""
    found = []
    for name in STAGE_SETTINGS:
        value = getattr(settings, field_of(name))
        if value is None or value in ({}, ()):
            text, origin = server.get(name, ""), SERVER
            if name == "image" and settings.build is not None:
                continue
        else:
            text, origin = _text(name, value), str(settings.place(name, Place(path="")))
        if text:
            found.append(EffectiveSetting(name=name, value=text, origin=origin))
    return tuple(found)


def _text(name: str, value: Any) -> str:
    match name, value:
        case "network", bool():
            return "allow" if value else "deny"
        case (("memory" | "shm_size"), int()):
            return _in_units(value, _SIZES)
        case "timeout", float() | int():
            return _in_units(value, _TIMES)
        case "gpus", int() if value == ALL_GPUS:
            return "all"
        case "build", BuildSettings():
            return _build(value)
        case _, tuple() | Mapping():
            return ", ".join(sorted(value) if isinstance(value, Mapping) else value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _in_units(value: float, units: Sequence[tuple[str, int]]) -> str:
    for unit, factor in units:
        if value % factor == 0:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def _build(build: BuildSettings) -> str:
    parts = [str(build.dockerfile)]
    if build.context != ROOT:
        parts.append(f"context {build.context}")
    if build.args:
        parts.append(f"args {', '.join(sorted(build.args))}")
    return ", ".join(parts)
