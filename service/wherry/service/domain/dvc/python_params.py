"""Parameters in a Python file: its literals, read without running it, as DVC reads them.

Assignments of literals on the level of the module and of classes count, and those to `self` in `__init__`; a class
becomes a mapping. Everything else in the file is skipped.
"""

import ast
from collections.abc import Iterator, Mapping
from typing import Any


def parse_python_params(text: str) -> dict[str, Any]:
    """Read the parameters of a module.

    Raises:
        SyntaxError: if it is not Python.
        ValueError: likewise, for a NUL character.
    """
    return _values(find_literals(text))


def find_literals(text: str) -> dict[str, Any]:
    """Find the literals that hold the parameters of a module, by name; those of a class in a mapping.

    Raises:
        SyntaxError: if it is not Python.
        ValueError: likewise, for a NUL character.
    """
    return dict(_read_body(ast.parse(text).body, in_init=False))


def _values(literals: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _values(literal) if isinstance(literal, dict) else ast.literal_eval(literal)
        for name, literal in literals.items()
    }


def _read_body(body: list[ast.stmt], *, in_init: bool) -> Iterator[tuple[str, Any]]:
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield statement.name, dict(_read_body(statement.body, in_init=False))
        elif isinstance(statement, ast.FunctionDef):
            if statement.name == "__init__":
                yield from _read_body(statement.body, in_init=True)
        else:
            yield from _read_assignment(statement, in_init=in_init)


def _read_assignment(statement: ast.stmt, *, in_init: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(statement, ast.AnnAssign):
        target: ast.expr = statement.target
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    else:
        return
    name = _name_of(target, in_init=in_init)
    if name is None or statement.value is None:
        return
    try:
        ast.literal_eval(statement.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return
    yield name, statement.value


def _name_of(target: ast.expr, *, in_init: bool) -> str | None:
    if isinstance(target, ast.Name):
        return None if in_init else target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return target.attr
    return None
