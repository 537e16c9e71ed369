"""YAML as emit.py writes it, of values that need no thought: a hundred times faster, to the same bytes.

At any value that might need quotes, an anchor or another spelling it gives up, and emit.py writes the whole. What is
written here is not changed by being read and written again, so that it does not matter how often it was.
"""

import re
from collections.abc import Mapping
from typing import Any

_WIDTH = 80

# Longer ones are written with a "?" before them.
_KEY_MAX = 100

# Begins as no number, date or indicator does, and has nothing in it that means something in the middle of a line.
_PLAIN = re.compile(r"(?:[A-Za-z_/]|\.\.?/)(?:[!$-9;-~]|:(?=[^ ])|(?<=[!-~]) (?=[!-~]))*(?<!:)", re.ASCII)
# One of digits and "e" or "b" might be a number.
_MD5 = re.compile(r"(?=[0-9a-f]*[acdf])[0-9a-f]{32}(?:\.dir)?", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,5})\.[0-9]{1,6}", re.ASCII)
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})


class NotPlain(Exception):
    """There is something that emit.py has to write."""


def emit_mapping(mapping: Mapping[str, Any], indent: int) -> str:
    """Write a mapping in block style, its keys in column `indent`.

    Raises:
        NotPlain: if it cannot be said for sure how.
    """
    if has_shared(mapping):
        raise NotPlain
    return _emit_mapping(mapping, indent)


def has_shared(mapping: Mapping[str, Any]) -> bool:
    """Whether a list or mapping is held twice: it would be written once, and referred to."""
    seen: set[int] = set()
    stack: list[Any] = [mapping]
    while stack:
        value = stack.pop()
        if isinstance(value, dict | list | tuple):
            if id(value) in seen:
                return True
            seen.add(id(value))
            stack.extend(value.values() if isinstance(value, dict) else value)
    return False


def _emit_mapping(mapping: Mapping[str, Any], indent: int) -> str:
    return "".join(_emit_entry(" " * indent, indent, key, value) for key, value in mapping.items())


def _emit_entry(before: str, indent: int, key: object, value: object) -> str:
    """Write a key and its value; `before` stands before the key."""
    if not (isinstance(key, str) and len(key) <= _KEY_MAX and " " not in key):
        raise NotPlain
    start = f"{before}{_plain(key)}:"
    if isinstance(value, dict):
        if not value:
            raise NotPlain
        return f"{start}\n{_emit_mapping(value, indent + 2)}"
    if isinstance(value, list):
        if not value:
            raise NotPlain
        # Items stand in the column of their key.
        return f"{start}\n" + "".join(_emit_item(item, indent) for item in value)
    return _emit_scalar(f"{start} ", value, indent + 2)


def _emit_item(item: object, indent: int) -> str:
    dash = " " * indent + "- "
    if isinstance(item, dict) and item:
        first, *rest = item.items()
        inner = indent + 2
        return _emit_entry(dash, inner, *first) + _emit_mapping(dict(rest), inner)
    return _emit_scalar(dash, item, indent + 2)


def _emit_scalar(before: str, value: object, indent: int) -> str:
    """Write a scalar; where a line is too long it goes on in the next, in column `indent`."""
    if isinstance(value, str):
        text = _plain(value)
        if len(before) + len(text) > _WIDTH:
            text = _folded(text, len(before), indent)
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, float) and _DECIMAL.fullmatch(repr(value)):
        text = repr(value)
    else:
        raise NotPlain
    return f"{before}{text}\n"


def _folded(text: str, column: int, indent: int) -> str:
    """Break lines as ruamel.yaml does: a word that does not fit begins a new one, after a space that stays."""
    new_line = f"\n{' ' * indent}"
    parts: list[str] = []
    for number, word in enumerate(text.split(" ")):
        if number and column >= _WIDTH:
            parts.append(new_line)
            column = indent
        elif number:
            parts.append(" ")
            column += 1
        if column + len(word) > _WIDTH and column > indent:
            parts.append(new_line)
            column = indent
        parts.append(word)
        column += len(word)
    return "".join(parts)


def _plain(text: str) -> str:
    if (_PLAIN.fullmatch(text) and text.lower() not in _WORDS) or _MD5.fullmatch(text):
        return text
    raise NotPlain
