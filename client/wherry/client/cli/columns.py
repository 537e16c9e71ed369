"""How many columns of a terminal text takes, and cutting it to fit."""

import unicodedata

_ELLIPSIS = "…"
_NAME_COLUMNS_MIN = 8


def columns_of(text: str) -> int:
    """Count columns: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns_of_character(character) for character in text)


def fit(text: str, columns: int) -> str:
    """Cut text to at most so many columns, with an ellipsis where it is cut."""
    if columns_of(text) <= columns:
        return text
    return _begin(text, columns - 1) + _ELLIPSIS if columns > 0 else ""


def fit_name(name: str, columns: int) -> str:
    """Cut the name of a stage: what tells it from others stands at its end, behind the file that many have in common."""
    if columns_of(name) <= columns or columns < _NAME_COLUMNS_MIN:
        return fit(name, columns)
    _, colon, own = name.rpartition(":")
    # Of a generated stage's own name the beginning says what it is, and the end which of them.
    first = 0 if colon and columns_of(own) < columns else columns // 3
    return _begin(own, first) + _ELLIPSIS + _begin(name[::-1], columns - 1 - first)[::-1]


def pad(text: str, columns: int) -> str:
    """Fill text to so many columns."""
    return text + " " * (columns - columns_of(text))


def _begin(text: str, columns: int) -> str:
    """As much of the beginning as fits."""
    used = 0
    for index, character in enumerate(text):
        used += _columns_of_character(character)
        if used > columns:
            return text[:index]
    return text


def _columns_of_character(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Cf", "Me", "Mn"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
