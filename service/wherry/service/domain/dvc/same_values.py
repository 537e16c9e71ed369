"""Whether a file that was written holds the values that it was to hold."""

from collections.abc import Mapping
from typing import Any


def is_same(one: Any, other: Any) -> bool:
    """Compare values with their types; a tuple and a list of the same items are the same."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return type(one) is type(other) and (one == other or repr(one) == repr(other))
