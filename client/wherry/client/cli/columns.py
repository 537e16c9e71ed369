"""How many columns of a terminal text takes, and cutting it to fit."""

import unicodedata

_ELLIPSIS = "…"


def columns_of(text: str) -> int:
    """Count columns: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns_of_character(character) for character in text)


def fit(text: str, columns: int) -> str:
    """Cut text to at most so many columns, with an ellipsis where it is cut."""
    if columns_of(text) <= columns:
        return text
    used = 0
    kept = []
    for character in text:
        used += _columns_of_character(character)
        if used > columns - 1:
            break
        kept.append(character)
    return "".join(kept) + _ELLIPSIS if columns > 0 else ""


def pad(text: str, columns: int) -> str:
    """Cut or fill text to exactly so many columns."""
    cut = fit(text, columns)
    return cut + " " * (columns - columns_of(cut))


def _columns_of_character(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Cf", "Me", "Mn"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
