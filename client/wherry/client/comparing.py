"""Values of two revisions side by side, in the shapes and words of DVC's tables and JSON."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wherry.client.tables import Rows

NOTHING = "-"

Json = dict[str, Any]


def flatten(value: Mapping[str, Any]) -> dict[str, Any]:
    """Name what is inside mappings by dotted keys. A mapping without anything has no name."""
    return dict(_flatten(value, ()))


def _flatten(value: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flatten(inner, (*above, str(key)))
        else:
            yield ".".join((*above, str(key))), inner


def lists_as_text(value: Any) -> Any:
    """Write lists inside mappings as text: they are compared and shown as a whole."""
    if isinstance(value, Mapping):
        return {key: lists_as_text(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, list) else value


def compare(
    old: Mapping[str, Json], new: Mapping[str, Json], *, unchanged: bool
) -> dict[str, dict[str, Json]]:
    """Compare the files of two revisions: {PATH: {KEY: {"old", "new"[, "diff"]}}}, those that changed or all."""
    paths = dict.fromkeys([*old, *new])
    found = {
        path: _compare_values(
            lists_as_text(old.get(path, {})).get("data", {}),
            lists_as_text(new.get(path, {})).get("data", {}),
            unchanged=unchanged,
        )
        for path in paths
    }
    return {path: changes for path, changes in found.items() if changes}


def _compare_values(old: Any, new: Any, *, unchanged: bool) -> dict[str, Json]:
    old, new = _parsed(old), _parsed(new)
    if not isinstance(old, Mapping) and not isinstance(new, Mapping):
        change = _change(old, new, unchanged=unchanged)
        return {"": change} if change else {}
    before, after = _named(old), _named(new)
    changes = {
        key: _change(_value(before, key), _value(after, key), unchanged=unchanged)
        for key in dict.fromkeys([*before.values, *after.values])
    }
    return {key: change for key, change in changes.items() if change}


def _parsed(value: Any) -> Any:
    """A file that is a single text may be JSON."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


@dataclass(frozen=True, slots=True)
class _Named:
    values: Mapping[str, Any]
    otherwise: str | None = None


def _named(value: Any) -> _Named:
    if isinstance(value, Mapping):
        return _Named(flatten(value))
    # A single value has no keys to be compared with those of a mapping.
    return _Named({}, "unable to parse" if value else None)


def _value(named: _Named, key: str) -> Any:
    return named.values.get(key, named.otherwise)


def _change(old: Any, new: Any, *, unchanged: bool) -> Json:
    if not unchanged and old == new:
        return {}
    change = {"old": old, "new": new}
    if isinstance(old, int | float) and isinstance(new, int | float):
        change["diff"] = new - old
    return change


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffStyle:
    """How a comparison is shown."""

    title: str
    """Header of the keys: Metric, Param."""
    old_name: str
    new_name: str
    with_path: bool = True
    with_change: bool = True
    with_old: bool = True
    precision: int | None = None
    """Digits after the point; None: all."""


def diff_rows(changes: Mapping[str, Mapping[str, Json]], style: DiffStyle) -> tuple[list[str], Rows]:
    """Lay out a comparison: a header and rows."""
    columns = [
        ("Path", style.with_path),
        (style.title, True),
        (style.old_name, style.with_old),
        (style.new_name if style.with_old else "Value", True),
        ("Change", style.with_change),
    ]
    rows = [
        [
            path,
            str(key),
            *(shown(change.get(side), style.precision) for side in ("old", "new", "diff")),
        ]
        for path, in_file in changes.items()
        for key, change in sorted(in_file.items())
    ]
    kept = [index for index, (_, is_kept) in enumerate(columns) if is_kept]
    return [columns[index][0] for index in kept], [[row[index] for index in kept] for row in rows]


def metrics_rows(
    results: Mapping[str, Json], *, with_revision: bool, precision: int
) -> tuple[list[str], Rows]:
    """Lay out the metrics of revisions: one row a file, one column a key."""
    named: list[tuple[str, str, dict[str, str]]] = []
    for revision, result in results.items():
        for path, value in result.get("data", {}).items():
            data = lists_as_text(value.get("data", {}))
            values = flatten(data) if isinstance(data, Mapping) else {"": data}
            named.append((revision, path, {key: shown(one, precision) for key, one in values.items()}))
    keys = sorted({key for _, _, values in named for key in values})
    rows = [
        [*([revision] if with_revision else []), path, *(values.get(key, NOTHING) for key in keys)]
        for revision, path, values in named
    ]
    return [*(["Revision"] if with_revision else []), "Path", *keys], rows


def shown(value: Any, precision: int | None = None) -> str:
    """Write a value for a table, with numbers rounded."""
    return NOTHING if value is None else str(_rounded(value, precision))


def _rounded(value: Any, precision: int | None) -> Any:
    if isinstance(value, float) and precision:
        return round(value, precision)
    if isinstance(value, Mapping):
        return {key: _rounded(inner, precision) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner, precision) for inner in value]
    return value


def failed_revisions(results: Mapping[str, Json]) -> Sequence[str]:
    """Name the revisions of which a file could not be read."""
    return [
        revision
        for revision, result in results.items()
        if any("error" in file for file in result.get("data", {}).values())
    ]
