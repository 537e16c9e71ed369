"""Changing literals in a Python file of parameters, in place: all that is not changed keeps its bytes.

DVC replaces the text ` = old` in the line of an assignment. Where that hits, the bytes here are the same; strings,
items of dicts and literals spelt in another way, which it misses or damages, are changed too.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wherry.service.domain.dvc.python_params import find_literals, parse_python_params
from wherry.service.domain.dvc.same_values import is_same
from wherry.service.domain.errors import InvalidInput

_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class _Replacement:
    begin: int
    end: int
    text: bytes


def replace_literals(data: bytes, path: str, values: Mapping[str, Any]) -> bytes:
    """Write changed values into the source of a module.

    Raises:
        InvalidInput: if a value cannot be written there, or a name is to be added or removed.
    """
    source = _Source(data, path)
    old = parse_python_params(data.decode())
    replacements = sorted(source.compare(old, values), key=lambda one: one.begin, reverse=True)
    for one in replacements:
        data = data[: one.begin] + one.text + data[one.end :]
    try:
        written = parse_python_params(data.decode())
    except (SyntaxError, ValueError):
        written = {}
    if not is_same(written, values):
        raise InvalidInput(
            f"{path} would not read back as it was set", hint="Edit the file by hand and submit it."
        )
    return data


class _Source:
    """Where the literals of a module stand."""

    def __init__(self, data: bytes, path: str) -> None:
        self._data = data
        self._path = path
        self._literals = find_literals(data.decode())
        self._lines = [0, *(match.end() for match in _LINE_END.finditer(data))]

    def compare(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[_Replacement]:
        """Find what has to be replaced so that the old values become the new ones."""
        yield from self._compare_names(self._literals, old, new)

    def _compare_names(
        self, literals: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> Iterator[_Replacement]:
        changed = [*(key for key in new if key not in old), *(key for key in old if key not in new)]
        if changed:
            raise InvalidInput(
                f"-S cannot add names to a Python file or remove them: {changed[0]!r} in {self._path}",
                hint="Edit the file and submit it.",
            )
        for key, value in new.items():
            literal = literals[key]
            if isinstance(literal, Mapping):
                if not isinstance(value, Mapping):
                    raise InvalidInput(
                        f"{key!r} is a class in {self._path}; only the values in it can be set"
                    )
                yield from self._compare_names(literal, old[key], value)
            else:
                yield from self._compare_literals(literal, old[key], value)

    def _compare_literals(self, node: ast.expr, old: Any, new: Any) -> Iterator[_Replacement]:
        if is_same(old, new):
            return
        if isinstance(node, ast.Dict) and isinstance(new, Mapping) and list(old) == list(new):
            for key, value in zip(node.keys, node.values, strict=True):
                name = ast.literal_eval(key) if key is not None else None
                yield from self._compare_literals(value, old[name], new[name])
        elif isinstance(node, ast.List | ast.Tuple) and isinstance(new, list) and len(old) == len(new):
            for item, before, after in zip(node.elts, old, new, strict=True):
                yield from self._compare_literals(item, before, after)
        else:
            yield self._replace(node, new)

    def _replace(self, node: ast.expr, value: Any) -> _Replacement:
        begin, end = (
            self._offset(node.lineno, node.col_offset),
            self._offset(node.end_lineno, node.end_col_offset),
        )
        before = self._data[begin:end]
        if b"#" in before and _LINE_END.search(before):
            raise InvalidInput(
                f"line {node.lineno} of {self._path} begins a value with comments in it, which would be lost",
                hint="Edit the file and submit it, or set the items one by one.",
            )
        return _Replacement(begin, end, repr(value).encode())

    def _offset(self, line: int | None, column: int | None) -> int:
        return self._lines[(line or 1) - 1] + (column or 0)
