"""A template filled with data points: DVC's rules for what distinguishes revisions, files and fields."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from wherry.client.errors import ClientError
from wherry.client.plots.points import FIELD, FILENAME, REV, Row
from wherry.client.plots.templates import Spec, anchor

_SEPARATOR = "::"
_SIZE = 300
_OPTIONAL = (
    *("color", "column", "group_by_x", "group_by_y", "group_by", "pivot_field", "plot_height", "plot_width"),
    *("row", "shape", "stroke_dash", "tooltip", "zoom_and_pan"),
)
_SPLIT = frozenset(
    {
        *("color", "data", "plot_height", "plot_width", "shape", "stroke_dash", "title", "tooltip"),
        *("x_label", "y_label", "zoom_and_pan"),
    }
)
_RANGES: Mapping[str, Sequence[Any]] = MappingProxyType(
    {
        "stroke_dash": ([1, 0], [8, 8], [8, 4], [4, 4], [4, 2], [2, 1], [1, 1]),
        "color": ("#945dd6", "#13adc7", "#f46837", "#48bb78", "#4299e1", "#ed8936", "#f56565"),
        "shape": ("circle", "square", "triangle", "diamond"),
    }
)
_EMPTY_SYMBOLS = {"legend": {"symbolFillColor": "transparent", "symbolStrokeColor": "grey"}}


@dataclass(slots=True, kw_only=True)
class Plot:
    """What a template is filled with."""

    rows: list[Row]
    properties: Mapping[str, Any]
    revisions: Sequence[str]
    template: Spec


@dataclass(slots=True)
class _Filling:
    spec: Spec
    is_split: bool
    anchors: dict[str, Any] = field(default_factory=dict)
    """Of a specification that is split, what its anchors stand for."""

    def has(self, name: str) -> bool:
        return _holds(self.spec, anchor(name))

    def put(self, name: str, value: Any) -> None:
        if self.is_split and name in _SPLIT:
            self.anchors[anchor(name)] = value
        else:
            self.spec = _replaced(self.spec, anchor(name), value)


def fill(plot: Plot, *, split: bool = False) -> tuple[Spec, dict[str, Any]]:
    """Fill the template of a plot; with `split`, what differs between plots stays outside, by anchor.

    Raises:
        ClientError: if a field is in no row, or the template takes no data.
    """
    for axis in ("x", "y"):
        name = plot.properties.get(axis)
        if name and not any(name in row for row in plot.rows):
            raise ClientError(f"Field '{name}' does not exist in provided data.")
    filling = _Filling(plot.template, split)
    optional = [name for name in _OPTIONAL if filling.has(name)]
    rows = plot.rows
    if optional:
        values, varied = _optional_values(plot)
        for name in optional:
            filling.put(name, values.get(name, {})) if name in values else _drop(filling, name)
        rows = [_reduced(row, varied) for row in rows]
    if not filling.has("data"):
        raise ClientError(f"the template does not use {anchor('data')}", reason="TEMPLATE_BROKEN")
    given = {
        "title": plot.properties.get("title", ""),
        **{axis: _escaped(plot.properties[axis]) for axis in ("x", "y") if plot.properties.get(axis)},
        "x_label": plot.properties.get("x_label"),
        "y_label": plot.properties.get("y_label"),
        "data": rows,
    }
    for name, value in given.items():
        if value is not None:
            filling.put(name, value)
    return filling.spec, filling.anchors


def _drop(filling: _Filling, name: str) -> None:
    """What does not distinguish anything is left empty."""
    filling.spec = _replaced(filling.spec, anchor(name), {})


def _optional_values(plot: Plot) -> tuple[dict[str, Any], Sequence[str]]:
    """Values of the optional anchors, and which of file and field differ between the lines."""
    lines = plot.properties.get("anchors_y_definitions", [])
    varied = [key for key in (FILENAME, FIELD) if len({line[key] for line in lines}) > 1]
    values: dict[str, Any] = {
        "color": _mapping(REV, "color", plot.revisions),
        "zoom_and_pan": {"name": "grid", "select": "interval", "bind": "scales"},
        "plot_height": _SIZE,
        "plot_width": _SIZE,
    }
    x, y = plot.properties.get("x"), plot.properties.get("y")
    tooltip = [{"field": REV}, {"field": x}, {"field": y}]
    if len(lines) <= 1 or not varied:
        groups, values["pivot_field"], values["tooltip"] = [REV], "datum.rev", tooltip
    else:
        line = _SEPARATOR.join(varied)
        groups = [REV, line]
        values["pivot_field"] = f" + '{_SEPARATOR}' + ".join(f"datum.{key}" for key in (REV, *varied))
        values["row"] = values["column"] = {"field": line, "sort": []}
        values["tooltip"] = [*tooltip, {"field": line}]
        domain = sorted({_SEPARATOR.join(one[key] for key in varied) for one in lines})
        values |= {name: _mapping(line, name, domain) for name in ("stroke_dash", "shape")}
    values |= {"group_by": groups, "group_by_x": [*groups, x], "group_by_y": [*groups, y]}
    return values, varied


def _mapping(name: str, kind: str, domain: Sequence[str]) -> Spec:
    looks = list(itertools.islice(itertools.cycle(_RANGES[kind]), len(domain)))
    legend = {} if kind == "color" else _EMPTY_SYMBOLS
    return {"field": name, "scale": {"domain": list(domain), "range": looks}, **legend}


def _reduced(row: Row, varied: Sequence[str]) -> Row:
    """Keep of file and field what differs; where both do, they are one."""
    both = (FILENAME, FIELD)
    made = {key: value for key, value in row.items() if key not in both or list(varied) == [key]}
    if len(varied) == len(both):
        made[_SEPARATOR.join(both)] = _SEPARATOR.join(row[key] for key in both)
    return made


def _escaped(name: str) -> str:
    for character in ".[]":
        name = name.replace(character, f"\\{character}")
    return name


def _holds(value: Any, wanted: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(inner, wanted) for inner in value.values())
    if isinstance(value, list):
        return any(_holds(inner, wanted) for inner in value)
    return bool(value == wanted)


def _replaced(value: Any, name: str, new: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, name, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, name, new) for inner in value]
    if value == name:
        return new
    # Within a longer text only text can stand.
    return value.replace(name, new) if isinstance(value, str) and isinstance(new, str) else value
