"""Data points of plots: rows found in files, joined with their axis, marked with revision, file and field."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wherry.client.errors import ClientError

STEP = "step"
"""The axis of plots that name none: the number of the row."""
REV, FILENAME, FIELD = "rev", "filename", "field"

_ANY_X, _ANY_Y = "dvc_inferred_x_value", "dvc_inferred_y_value"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """The data points of one revision, and what came of the properties."""

    rows: list[Row] = field(default_factory=list)
    properties: Mapping[str, Any] = field(default_factory=dict)


def find_points(plot: str, files: Mapping[str, Any], properties: Mapping[str, Any], revision: str) -> Points:
    """Make the data points of a plot out of the content of its files.

    Raises:
        ClientError: if a field is in no row, or the axes do not go together.
    """
    axes = dict(properties) | _infer_axes(plot, files, properties)
    axes["y_label"] = _label(axes, "y", properties.get("y_label"))
    axes["x_label"] = _label(axes, "x", properties.get("x_label"))
    tables = {file: _rows(content) for file, content in files.items()}
    xs, ys = (list(_sources(axes.get(axis), tables)) for axis in ("x", "y"))
    if len(xs) > 1 and len(xs) != len(ys):
        raise ClientError(
            "Cannot have different number of x and y data sources."
            f" Found {len(xs)} x and {len(ys)} y data sources."
        )
    many_x = len(xs) > 1 and len({name for _, name in xs}) > 1
    y_names = list(dict.fromkeys(name for _, name in ys))
    y_files = list(dict.fromkeys(file for file, _ in ys))
    common = len(os.path.commonpath(y_files)) if len(y_files) > 1 else 0
    joined = _Joined(x=_ANY_X if many_x else xs[0][1] if xs else STEP, y=_ANY_Y if len(y_names) > 1 else None)
    rows: list[Row] = []
    for index, (file, name) in enumerate(ys):
        x = None if not xs else xs[index] if len(xs) > 1 else xs[0]
        for row in joined.rows((file, name), x, tables):
            row |= {REV: revision, FILENAME: _short(file, common), FIELD: name}
            rows.append(row)
    if not rows:
        return Points()
    made = {
        "x": joined.x,
        "y": joined.y or y_names[0],
        "anchors_y_definitions": [{FILENAME: _short(file, common), FIELD: name} for file, name in ys],
    }
    return Points(rows=rows, properties={**axes, **made})


@dataclass(frozen=True, slots=True)
class _Joined:
    """Fields under which values of several names are put together."""

    x: str
    y: str | None

    def rows(
        self, y: tuple[str, str], x: tuple[str, str] | None, tables: Mapping[str, Sequence[Row]]
    ) -> Iterator[Row]:
        file, name = y
        rows = tables.get(file, ())
        others = rows if x is None else tables.get(x[0], ())
        if len(others) != len(rows) and x is not None:
            raise ClientError(
                f"Cannot join '{x[1]}' from '{x[0]}' and '{name}' from '{file}'. They have to have same length."
            )
        for index, (row, other) in enumerate(zip(rows, others, strict=True)):
            made = dict(row)
            if self.y is not None and name in row:
                made[self.y] = row[name]
            if x is None:
                made[STEP] = index
            elif x[1] in other:
                made[self.x] = other[x[1]]
            yield made


def _infer_axes(plot: str, files: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    x, y = properties.get("x"), properties.get("y")
    found: dict[str, Any] = {}
    if isinstance(x, str):
        found["x"] = {plot: x}
        if isinstance(y, Mapping):
            found["x"] = {
                file: [x] * len(fields) if isinstance(fields, list) else x for file, fields in y.items()
            }
    if y is None:
        found["y"] = _last_field(plot, files)
    elif not isinstance(y, Mapping):
        found["y"] = {plot: y}
    return found


def _last_field(plot: str, files: Mapping[str, Any]) -> dict[str, str] | None:
    for rows in _lists(files[plot]) if plot in files else ():
        if rows and all(isinstance(row, Mapping) for row in rows) and rows[0]:
            return {plot: list(rows[0])[-1]}
    return None


def _label(axes: Mapping[str, Any], axis: str, given: Any) -> Any:
    if given is not None:
        return given
    fields = axes.get(axis)
    if axis == "x" and not isinstance(fields, Mapping):
        return STEP
    if not isinstance(fields, Mapping):
        return None
    names = {name for _, name in _pairs(fields)}
    return names.pop() if len(names) == 1 else axis


def _pairs(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for file, names in fields.items():
        for name in names if isinstance(names, list) else [names]:
            if isinstance(name, str):
                yield file, name


def _sources(fields: Any, tables: Mapping[str, Sequence[Row]]) -> Iterator[tuple[str, str]]:
    for file, name in _pairs(fields) if isinstance(fields, Mapping) else ():
        rows = tables.get(file)
        if file in tables and (not rows or name not in rows[0]):
            there = ", ".join(map(str, rows[0])) if rows else ""
            raise ClientError(f"Could not find provided field ('{name}') in data fields ('{there}').")
        yield file, name


def _lists(content: Any) -> Iterator[list[Any]]:
    if isinstance(content, list):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            if isinstance(value, Mapping | list):
                yield from _lists(value) if isinstance(value, Mapping) else [value]


def _rows(content: Any) -> list[Row]:
    """Rows of all lists in a file, side by side; a list whose rows differ in their fields does not count."""
    found: list[Row] = []
    for rows in _lists(content):
        if not _are_rows(rows):
            continue
        found.extend({} for _ in range(len(rows) - len(found)))
        for target, row in zip(found, rows, strict=False):
            target.update(row)
    return found


def _are_rows(rows: Iterable[Any]) -> bool:
    listed = list(rows)
    if not listed or not all(isinstance(row, Mapping) for row in listed):
        return False
    return set(listed[0]) == {name for row in listed for name in row}


def _short(file: str, common: int) -> str:
    return file[common:].strip("/\\")
