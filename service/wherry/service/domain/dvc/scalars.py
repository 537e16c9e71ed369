"""Plain scalars of YAML 1.2, typed as ruamel.yaml's safe loader types them.

The table is a frozen copy of ruamel.yaml 0.19's rules for version 1.2: DVC reads with that library, so
`on` is text, `010` is ten, `1e3` is a number. No other schema of YAML gives the same answers.
"""

import binascii
import datetime as dt
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_FLOAT = re.compile(
    r"""[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    |[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)
_INT = re.compile(r"[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?[0-9_]+|[-+]?0x[0-9a-fA-F_]+")
_NULL = re.compile(r"~|null|Null|NULL|")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
# In ruamel's own pattern the blanks before the dashes are swallowed by the verbose flag.
_STAMP = re.compile(
    r"""([0-9]{4})-([0-9][0-9]?)-([0-9][0-9]?)
    (?:[Tt]|[ \t]+)([0-9][0-9]?):([0-9][0-9]):([0-9][0-9])(?:\.([0-9]*))?
    (?:[ \t]*(?:Z|([-+])([0-9][0-9]?)(?::([0-9][0-9]))?))?""",
    re.VERBOSE,
)
_MICROSECOND_DIGITS = 6


def to_bool(text: str) -> bool:
    """Read true or false, in any case.

    Raises:
        ValueError: if it is neither.
    """
    lower = text.lower()
    if lower not in {"true", "false"}:
        raise ValueError(text)
    return lower == "true"


def to_int(text: str) -> int:
    """Read an integer: 0b, 0o, 0x and "_" are understood, a leading zero means nothing.

    Raises:
        ValueError: if it is none.
    """
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-") if digits[:1] in {"+", "-"} else digits
    base = {"0b": 2, "0x": 16, "0o": 8}.get(digits[:2])
    return sign * (int(digits[2:], base) if base else int(digits))


def to_float(text: str) -> float:
    """Read a float, `.inf` and `.nan` included.

    Raises:
        ValueError: if it is none.
    """
    number = text.replace("_", "").lower()
    if number in {".inf", "+.inf", "-.inf", ".nan"}:
        number = number.replace(".", "")
    return float(number)


def to_null(text: str) -> None:
    """Read nothing, however it is written."""
    del text


def to_time(text: str) -> dt.date:
    """Read a date, or a date with a time; one with an offset is turned into UTC.

    Raises:
        ValueError: if there is no such day or time.
    """
    if day := _DATE.fullmatch(text):
        return dt.date(*(int(part) for part in day.groups()))
    stamp = _STAMP.fullmatch(text)
    if stamp is None:
        raise ValueError(text)
    *numbers, fraction, sign, hours, minutes = stamp.groups()
    micro = int((fraction or "")[:_MICROSECOND_DIGITS].ljust(_MICROSECOND_DIGITS, "0"))
    year, month, date, hour, minute, second = (int(part) for part in numbers)
    moment = dt.datetime(year, month, date, hour, minute, second, micro)  # noqa: DTZ001 - YAML's are naive
    if not sign:
        return moment
    offset = dt.timedelta(hours=int(hours), minutes=int(minutes or 0))
    return moment + offset if sign == "-" else moment - offset


def to_bytes(text: str) -> bytes:
    """Read base64.

    Raises:
        ValueError: if it is not.
    """
    try:
        return binascii.a2b_base64(text.encode("ascii"))
    except binascii.Error as exc:
        raise ValueError(text) from exc


Convert = Callable[[str], Any]

_TAG = "tag:yaml.org,2002:"

EXPLICIT: Mapping[str, Convert] = MappingProxyType(
    {
        _TAG + "str": str,
        _TAG + "bool": to_bool,
        _TAG + "int": to_int,
        _TAG + "float": to_float,
        _TAG + "null": to_null,
        _TAG + "timestamp": to_time,
        _TAG + "binary": to_bytes,
    }
)
"""What a tag written out, such as `!!str`, makes of a scalar."""

_RULES: tuple[tuple[str, re.Pattern[str], Convert], ...] = (
    ("tTfF", _BOOL, to_bool),
    ("-+0123456789.", _FLOAT, to_float),
    ("-+0123456789", _INT, to_int),
    ("~nN", _NULL, to_null),
    ("0123456789", _DATE, to_time),
    ("0123456789", _STAMP, to_time),
)


def _by_first_character() -> Mapping[str, tuple[tuple[re.Pattern[str], Convert], ...]]:
    characters = {character for firsts, _, _ in _RULES for character in firsts}
    return MappingProxyType(
        {
            character: tuple((pattern, convert) for firsts, pattern, convert in _RULES if character in firsts)
            for character in characters
        }
    )


_BY_FIRST = _by_first_character()


def read_plain(text: str) -> Any:
    """Give a scalar written without quotes or tag its value.

    Raises:
        ValueError: if it looks like a number or date and is none; ruamel refuses those too.
    """
    if not text:
        return None
    rules = _BY_FIRST.get(text[0])
    if rules is None:
        return text
    if text.isdigit() and text.isascii():
        return int(text)
    for pattern, convert in rules:
        if pattern.fullmatch(text):
            return convert(text)
    return text
