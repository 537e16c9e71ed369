"""Shell patterns in the names of parameters: `train.*`, `layers.?.size`, `**.lr`, with DVC's meaning."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self

_CHARACTERS = frozenset("*?[")
_ANY_DEPTH = "**"


def has_pattern(key: str) -> bool:
    """Tell whether a name has a character that makes it a pattern."""
    return not _CHARACTERS.isdisjoint(key)


def find_matches(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    """Find what stands under the parts of a name: each is a pattern for one step, `**` stands for any number of steps.

    Raises:
        ValueError: if `**` occurs twice.
    """
    if parts.count(_ANY_DEPTH) > 1:
        raise ValueError("'**' may occur only once in a name")
    # A name stands for something inside the file: `**` alone is not the whole of it.
    found = _find(value, parts)
    return (match for match in found if match is not value)


def _find(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    if not parts:
        yield value
    elif parts[0] == _ANY_DEPTH:
        yield from _find(value, parts[1:])
        for _, inner in _steps(value):
            yield from _find(inner, parts)
    else:
        for step, inner in _steps(value):
            if _matches(step, parts[0]):
                yield from _find(inner, parts[1:])


def _steps(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield _Index(index, len(value)), inner


class _Index(int):
    """An index of a list, which a negative number counted from its end names too."""

    length: int

    def __new__(cls, index: int, length: int) -> Self:
        made = super().__new__(cls, index)
        made.length = length
        return made


def _matches(step: Any, pattern: str) -> bool:
    if isinstance(step, str):
        return fnmatchcase(step, pattern)
    if not isinstance(step, int):
        return False
    try:
        number = int(pattern)
    except ValueError:
        return fnmatchcase(str(step), pattern)
    return number == step or (isinstance(step, _Index) and number + step.length == step)
