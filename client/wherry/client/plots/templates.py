"""The templates that DVC has by name, as Vega-Lite specifications with anchors to be filled.

They are DVC's to the key, so that whatever reads the one reads the other: composed here of the parts that they share.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wherry.client.errors import ClientError

Spec = dict[str, Any]

DEFAULT_TEMPLATE = "linear"


def anchor(name: str) -> str:
    """Write what stands for a value in a template."""
    return f"<DVC_METRIC_{name.upper()}>"


def find_template(name: str | None, folder: Path, here: Path) -> Spec:
    """Find a template: a file in `folder` (.dvc/plots) or at a path, or one of DVC's by name.

    Raises:
        ClientError: if there is none, or the file is no JSON object.
    """
    wanted = name or DEFAULT_TEMPLATE
    file = _find_file(wanted, folder, here)
    if file is not None:
        return _read(file)
    if wanted not in TEMPLATES:
        raise ClientError(
            f"Template '{wanted}' not found.",
            hint=f"put {wanted}.json into {folder}, or take one of: {', '.join(TEMPLATES)}",
            reason="TEMPLATE_UNKNOWN",
        )
    return TEMPLATES[wanted]()


def _find_file(name: str, folder: Path, here: Path) -> Path | None:
    for candidate in (folder / name, (folder / name).with_suffix(".json"), here / name):
        if candidate.is_file():
            return candidate
    return None


def _read(file: Path) -> Spec:
    try:
        spec = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ClientError(f"cannot read the template {file}: {exc}", reason="TEMPLATE_BROKEN") from exc
    if not isinstance(spec, dict):
        raise ClientError(f"the template {file} is no JSON object", reason="TEMPLATE_BROKEN")
    return spec


def _frame(*, sized: bool = True) -> Spec:
    spec: Spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": anchor("data")},
        "title": {"text": anchor("title"), "anchor": "middle"},
    }
    return spec | ({"width": anchor("plot_width"), "height": anchor("plot_height")} if sized else {})


def _axis(axis: str, *, kind: str = "quantitative", **more: Any) -> Spec:
    return {"field": anchor(axis), "type": kind, "title": anchor(f"{axis}_label"), **more}


def _y() -> Spec:
    return _axis("y", scale={"zero": False})


def _points(mark: str) -> Spec:
    return {"type": mark, "tooltip": {"content": "data"}}


def _simple() -> Spec:
    return _frame() | {
        "params": [anchor("zoom_and_pan")],
        "mark": _points("line"),
        "encoding": {
            "x": _axis("x"),
            "y": _y(),
            "color": anchor("color"),
            "strokeDash": anchor("stroke_dash"),
            "tooltip": anchor("tooltip"),
        },
    }


def _smooth() -> Spec:
    by_rev = {"field": "rev", "type": "nominal"}
    hovered = {"param": "hover", "empty": False}
    smoothed = {
        "layer": [
            {"params": [anchor("zoom_and_pan")], "mark": "line"},
            {"transform": [{"filter": hovered}], "mark": "point"},
        ],
        "encoding": {"y": _y(), "color": by_rev},
        "transform": [
            {
                "loess": anchor("y"),
                "on": anchor("x"),
                "groupby": anchor("group_by"),
                "bandwidth": {"signal": "smooth"},
            }
        ],
    }
    faint = {
        "mark": {"type": "line", "opacity": 0.2},
        "encoding": {"x": _axis("x"), "y": _y(), "color": by_rev},
    }
    last = {
        "mark": {"type": "circle", "size": 10},
        "encoding": {
            "x": {"aggregate": "max"} | _axis("x"),
            "y": {"aggregate": {"argmax": anchor("x")}} | _y(),
            "color": by_rev,
        },
    }
    rule = {
        "transform": [
            {"calculate": anchor("pivot_field"), "as": "pivot_field"},
            {"pivot": "pivot_field", "op": "mean", "value": anchor("y"), "groupby": [anchor("x")]},
        ],
        "mark": _points("rule") | {"stroke": "grey"},
        "encoding": {"opacity": {"condition": {"value": 0.3} | hovered, "value": 0}},
        "params": [
            {
                "name": "hover",
                "select": {
                    "type": "point",
                    "fields": [anchor("x")],
                    "nearest": True,
                    "on": "mouseover",
                    "clear": "mouseout",
                },
            }
        ],
    }
    slider = {"input": "range", "min": 0.001, "max": 1, "step": 0.001}
    return _frame() | {
        "params": [{"name": "smooth", "value": 0.001, "bind": slider}],
        "encoding": {"x": _axis("x"), "color": anchor("color"), "strokeDash": anchor("stroke_dash")},
        "layer": [smoothed, faint, last, rule],
    }


def _scatter() -> Spec:
    return _frame() | {
        "mark": _points("point"),
        "params": [anchor("zoom_and_pan")],
        "encoding": {
            "x": _axis("x"),
            "y": _axis("y"),
            "color": anchor("color"),
            "shape": anchor("shape"),
            "tooltip": anchor("tooltip"),
        },
    }


def _scatter_jitter() -> Spec:
    axes = {axis: {"field": anchor(axis), "title": anchor(f"{axis}_label")} for axis in ("x", "y")}
    return _frame() | {
        "transform": [{"calculate": "random()", "as": f"random{axis}"} for axis in ("X", "Y")],
        "mark": _points("point"),
        "encoding": {
            **axes,
            "color": anchor("color"),
            "shape": anchor("shape"),
            "tooltip": anchor("tooltip"),
            "xOffset": {"field": "randomX", "type": "quantitative"},
            "yOffset": {"field": "randomY", "type": "quantitative"},
        },
    }


def _bars(**sorting: str) -> Spec:
    return _frame() | {
        "mark": {"type": "bar"},
        "params": [anchor("zoom_and_pan")],
        "encoding": {
            "x": _axis("x", scale={"zero": False}),
            "y": _axis("y", kind="nominal", **sorting),
            "yOffset": {"field": "rev", "sort": []},
            "color": anchor("color"),
            "column": anchor("column"),
        },
    }


def _impute(key: str, group_by: Any) -> Spec:
    return {"impute": "xy_count", "groupby": group_by, "key": anchor(key), "value": 0}


def _matrix(shown: Spec, *, scale: Spec, transform: list[Spec], numbers: Spec, params: list[Spec]) -> Spec:
    """A confusion matrix; `shown` is the field of its cells."""
    label = {
        "type": "single",
        "on": "mouseover",
        "encodings": ["x", "y"],
        "empty": "none",
        "clear": "mouseout",
    }
    count = {"aggregate": [{"op": "count", "as": "xy_count"}], "groupby": [anchor("y"), anchor("x")]}
    axes = {axis: _axis(axis, kind="nominal", sort="ascending") for axis in ("x", "y")}
    color = {"field": shown["field"], "type": "quantitative", "title": "", "scale": scale}
    layers = [
        {
            "mark": "rect",
            "width": anchor("plot_width"),
            "height": anchor("plot_height"),
            "encoding": {"color": color},
        },
        {
            "selection": {"label": label},
            "mark": "rect",
            "encoding": {
                "tooltip": [*({"field": anchor(axis), "type": "nominal"} for axis in ("x", "y")), shown],
                "opacity": {"condition": {"selection": "label", "value": 1}, "value": 0},
            },
        },
        {
            "transform": [{"filter": {"selection": "label"}}],
            "layer": [{"mark": {"type": "rect", "color": "lightpink"}}],
        },
        {"mark": "text", "encoding": numbers},
    ]
    facet = {"column": {"field": "rev", "sort": []}, "row": anchor("row")}
    spec = _frame(sized=False) | {"facet": facet} | ({"params": params} if params else {})
    return spec | {"spec": {"transform": [count, *transform], "encoding": axes, "layer": layers}}


def _contrast(field: str) -> Spec:
    return {"condition": {"test": f"datum.{field} > 0.5", "value": "white"}, "value": "black"}


def _confusion() -> Spec:
    shown = {"field": "xy_count", "type": "quantitative"}
    return _matrix(
        shown,
        scale={"domainMin": 0, "nice": True},
        transform=[
            _impute("x", anchor("group_by_y")),
            _impute("y", anchor("group_by_x")),
            {"joinaggregate": [{"op": "max", "field": "xy_count", "as": "max_count"}], "groupby": []},
            {"calculate": "datum.xy_count / datum.max_count", "as": "percent_of_max"},
        ],
        numbers={
            "text": {"condition": {"param": "showValues"} | shown},
            "color": _contrast("percent_of_max"),
        },
        params=[{"name": "showValues", "bind": {"input": "checkbox"}}],
    )


def _confusion_normalized() -> Spec:
    return _matrix(
        {"field": "percent_of_y", "type": "quantitative", "format": ".2f"},
        scale={"domain": [0, 1]},
        transform=[
            _impute("x", ["rev", anchor("y")]),
            _impute("y", anchor("group_by_x")),
            {
                "joinaggregate": [{"op": "sum", "field": "xy_count", "as": "sum_y"}],
                "groupby": [anchor("y")],
            },
            {"calculate": "datum.xy_count / datum.sum_y", "as": "percent_of_y"},
        ],
        numbers={"color": _contrast("percent_of_y")},
        params=[],
    )


TEMPLATES: Mapping[str, Callable[[], Spec]] = MappingProxyType(
    {
        "simple": _simple,
        "linear": _smooth,
        "confusion": _confusion,
        "confusion_normalized": _confusion_normalized,
        "scatter": _scatter,
        "scatter_jitter": _scatter_jitter,
        "smooth": _smooth,
        "bar_horizontal_sorted": lambda: _bars(sort="-x"),
        "bar_horizontal": _bars,
    }
)
"""By name, in DVC's order."""
