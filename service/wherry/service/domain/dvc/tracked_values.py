"""Metrics and params as DVC shows them: which files, which keys of them, and what counts of a value."""

import itertools
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from wherry.service.domain.dvc.declared_results import DeclaredResults
from wherry.service.domain.dvc.params import parse_values
from wherry.service.domain.dvc.params_section import DEFAULT_PARAMS_FILE
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind

_FORMATS = {".json": "JSON", ".toml": "TOML", ".py": "Python"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Why a file gives no value, in DVC's words."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Value:
    """What a file holds."""

    data: Any


def metric_files(declared: Iterable[DeclaredResults]) -> list[ProjectPath]:
    """List the metrics of a project: outputs of stages first, then those of the top level."""
    known = list(declared)
    outs = (
        out for one in known for stage in one.stages for out in stage.outs if out.kind is OutputKind.METRIC
    )
    return list(
        dict.fromkeys([*(out.project_path for out in outs), *(path for one in known for path in one.metrics)])
    )


def params_files(
    declared: Iterable[DeclaredResults], *, stage_params_only: bool, has_default: bool
) -> dict[ProjectPath, list[str]]:
    """List the params of a project, with the keys that are declared of each file; none stand for all of it."""
    known = list(declared)
    named: list[tuple[ProjectPath, Sequence[str]]] = [
        (params.project_path, params.keys or ())
        for one in known
        for stage in one.stages
        for params in stage.params
    ]
    if not stage_params_only:
        named += [(path, ()) for one in known for path in one.params]
        if has_default:
            named.append((ProjectPath(DEFAULT_PARAMS_FILE), ()))
    whole = {path for path, keys in named if not keys}
    found: dict[ProjectPath, list[str]] = {}
    for path, keys in named:
        found.setdefault(path, []).extend(() if path in whole else keys)
    return found


def used_values(declared: Iterable[DeclaredResults]) -> dict[ProjectPath, dict[str, Any]]:
    """Gather what templates of stages took from files."""
    found: dict[ProjectPath, dict[str, Any]] = {}
    for one in declared:
        for path, values in one.used.items():
            found.setdefault(path, {}).update(values)
    return found


def read_metric(data: bytes, path: ProjectPath) -> Value | Unreadable:
    """Read a file of metrics: numbers, texts, and mappings of them; everything else is left out."""
    value = read_values(data, path)
    return value if isinstance(value, Unreadable) else Value(_metrics_of(value.data) or {})


def read_params_values(data: bytes, path: ProjectPath, keys: Sequence[str]) -> Value | Unreadable:
    """Read the keys of a file of params that are there; all of it when none are named."""
    value = read_values(data, path)
    if isinstance(value, Unreadable) or not keys:
        return value
    found: dict[Any, Any] = {}
    for key in dict.fromkeys(keys):
        _merge(found, _search(value.data, key.lstrip(".").split(".")) or {})
    return Value(found)


def absent(path: ProjectPath) -> Unreadable:
    """Nothing stands at a path."""
    return Unreadable(kind="FileNotFoundError", message=f"[Errno 2] No storage files available: {path!r}")


def read_values(data: bytes, path: ProjectPath) -> Value | Unreadable:
    """Read a structured file, whatever it holds."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return Unreadable(kind="EncodingError", message=f"unable to read: {path!r}, is not valid utf-8")
    try:
        return Value(parse_values(data, path) or {})
    except PipelineInvalid as exc:
        kind = _FORMATS.get(posixpath.splitext(path)[1].lower(), "YAML")
        line = f" (line {exc.place.line})" if exc.place is not None and exc.place.line else ""
        return Unreadable(
            kind=f"{kind}FileCorruptedError",
            message=f"unable to read: {path!r}, {kind} file structure is corrupted{line}",
        )


def _metrics_of(value: Any) -> Any:
    if isinstance(value, int | float | str):
        return value
    if not isinstance(value, dict):
        return None
    found = {key: _metrics_of(inner) for key, inner in value.items()}
    return {key: inner for key, inner in found.items() if inner is not None and inner != {}}


def _search(value: Any, parts: Sequence[str]) -> Any:
    """Cut a value down to what a dotted name leads to; None when it leads nowhere.

    A list keeps its indices: what is before the part that was found is None.
    """
    if not parts:
        return value
    if isinstance(value, dict):
        found = {
            key: inner
            for key, one in value.items()
            if fnmatchcase(str(key), parts[0]) and (inner := _search(one, parts[1:])) is not None
        }
        return found or None
    if isinstance(value, list | tuple):
        return _search_list(value, parts)
    return None


def _search_list(value: Sequence[Any], parts: Sequence[str]) -> list[Any] | None:
    found: list[Any] = []
    for index, one in enumerate(value):
        inner = _search(one, parts[1:]) if fnmatchcase(str(index), parts[0]) else None
        if inner is not None:
            found += [*itertools.repeat(None, index - len(found)), inner]
    return found or None


def _merge(into: dict[Any, Any], more: Mapping[Any, Any]) -> None:
    for key, value in more.items():
        known = into.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            # What was read belongs to the file: it is not changed.
            into[key] = dict(known)
            _merge(into[key], value)
        elif isinstance(known, list) and isinstance(value, list):
            pairs = itertools.zip_longest(known, value)
            into[key] = [old if new is None else new for old, new in pairs]
        else:
            into[key] = value
