"""Files of drawn projects: parameters in each format, and the ways in which a dvc.yaml can be written down."""

import io
import json
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from tests.conformance.drawn_names import NUMBERS, ODD, SHELL_SAFE, TEXTS, Chance

KEYS = ("a", "b", "b.c", "b.d", "b.d.0", "l.0", "l.-1", "l.1.x", "t", "n", "size", ".a", "whole", "b.e.f")
"""Keys that most drawn parameters files have."""

_PATTERNS = (
    "b.*",
    "l.?",
    "*.c",
    "b.d.[0-9]",
    "**.f",
    "b.**",
    "l.*.x",
    "[a-n]",
    "b.d.*",
    "*.0",
    "s*",
    "nothing.*",
)


def write_yaml(value: Any, style: str) -> str:
    """Write a document: "json" in one line, "block" as people do, "long" with lines that are folded."""
    if style == "json":
        return json.dumps(value, ensure_ascii=False)
    yaml = YAML()
    yaml.width = 4096 if style == "block" else 60
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(value, stream)
    return ("# by hand\n" if style == "block" else "") + stream.getvalue()


def draw_style(chance: Chance) -> str:
    """Draw one of the styles of `write_yaml`."""
    return chance.one(("block", "block", "json", "long"))


def draw_params(chance: Chance) -> dict[str, Any]:
    """Draw values under the names of KEYS, which templates and stages can count on."""
    values: dict[str, Any] = {
        "a": chance.scalar(),
        "b": {
            "c": chance.scalar() or 1,
            "d": chance.some(NUMBERS, 3, 1),
            "e": {"f": 1},
        },
        "l": [chance.scalar(), {"x": chance.scalar() or 1}],
        "t": chance.one(SHELL_SAFE),
        "n": chance.number(0, 3),
        "size": chance.number(0, 3),
    }
    if chance.rarely(3):
        values["whole"] = chance.value()
    if chance.rarely(4):
        values[chance.one(ODD)] = chance.value()
    names = chance.some(tuple(values), len(values), len(values))
    return {name: values[name] for name in names}


def write_params(values: Mapping[str, Any], path: str, style: str) -> str:
    """Write them in the format of the file's suffix. TOML has no null and Python no dots in names: those are left out."""
    if path.endswith(".json"):
        return json.dumps(values, ensure_ascii=style == "json", indent=None if style == "json" else 2)
    if path.endswith(".toml"):
        return "".join(
            f"{json.dumps(key)} = {_toml(value)}\n" for key, value in values.items() if value is not None
        )
    if path.endswith(".py"):
        lines = [f"{key} = {value!r}\n" for key, value in values.items() if key.isidentifier() and key != "b"]
        inner = [
            f"    {key} = {value!r}\n" for key, value in values.get("b", {}).items() if key.isidentifier()
        ]
        return "import os\n" + "".join(lines) + ("class b:\n" + "".join(inner) if inner else "")
    return write_yaml(dict(values), style)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items() if one is not None)
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value if one is not None) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**62:
        return str(2**62)
    return json.dumps(value)


def draw_keys(chance: Chance) -> list[str] | None:
    """Draw keys of a parameters file; None for the whole file."""
    if chance.rarely(5):
        return None
    keys = chance.some(KEYS[:-2], 3, 1)
    if chance.rarely(6):
        keys += chance.some(_PATTERNS, 2, 1)
    return [*keys, "missing"] if chance.rarely(60) else keys


def plain_text(chance: Chance) -> str:
    """Draw a text for a description or an argument."""
    return chance.one(TEXTS)
