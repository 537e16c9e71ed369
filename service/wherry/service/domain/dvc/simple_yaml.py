"""The YAML that DVC writes and people mostly write, read line by line: several times as fast as a full parser.

Block mappings and lists, names as keys, plain and quoted scalars, words and numbers in brackets or braces, comments.
At anything else `read_simple` gives up, and yaml12.py reads the text from the start. What is read here is what would be
read there, places included; errors are found only there.
"""

import re
from typing import Any

import yaml

from wherry.service.domain.dvc.scalars import read_plain

Spot = tuple[int, int, Any]
"""Line and column of a key or item, and the spots of what it holds: by key, in order, or None for a scalar."""

# Control characters, tabs and line breaks other than "\n" have rules of their own.
_UNUSUAL = re.compile("[^\n -~\u00a1-\u2027\u202a-\ud7ff]")

_LINE = re.compile(r"( *+)(- ++)?(?:([A-Za-z0-9_./][\w./@+-]{0,200}):(?: ++|$))?(.*)", re.ASCII)

# How a plain scalar may begin without meaning anything else.
_PLAIN = re.compile(r"[A-Za-z0-9_./$+~(^;\\\u00a1-\ud7ff]|-[^ ]")
_SINGLE_QUOTED = re.compile(r"'((?:[^']|'')*+)'(?: +#.*)?")
_DOUBLE_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*+")(?: +#[^\n]*)?', re.DOTALL)

_WORD = r"-?[A-Za-z0-9_.][\w.@/+-]*+"
_PAIR = rf"({_WORD}): ++({_WORD})"
_FLOW_LIST = re.compile(rf"\[ *+(?:{_WORD}(?: *+, *+{_WORD})*+)? *+\](?: +#.*)?", re.ASCII)
_FLOW_MAPPING = re.compile(rf"\{{ *+(?:{_PAIR}(?: *+, *+{_PAIR})*+)? *+\}}(?: +#.*)?", re.ASCII)
_FLOW_ITEM = re.compile(_WORD, re.ASCII)
_FLOW_PAIR = re.compile(_PAIR, re.ASCII)

# Beyond these nothing is simple. They keep the cost of what is tried line by line in bounds.
_DEPTH_MAX = 50
_SCALAR_CHARACTERS_MAX = 20_000


class _NotSimple(Exception):
    """Only a full parser can tell."""


def read_simple(text: str) -> tuple[Any, Spot] | None:
    """Read a document that is a block mapping or list; None when it is not as simple as that."""
    return read_usual(text) if is_usual(text) else None


def read_usual(text: str) -> tuple[Any, Spot] | None:
    """As `read_simple`, of a text that is known to be usual."""
    reader = _Reader()
    try:
        for number, line in enumerate(text.split("\n"), 1):
            reader.take(number, line)
    # ValueError: what looks like a number or a date and is none.
    except (_NotSimple, ValueError):
        return None
    return reader.root if reader.is_complete else None


def is_usual(text: str) -> bool:
    """Whether there are no characters in it that YAML treats apart, wherever they stand."""
    return _UNUSUAL.search(text) is None


def read_plain_text(written: str) -> str | None:
    """Read a text without quotes, in one line or several; None when it is something else.

    It must be usual, and stand behind a key.
    """
    words = [line.strip(" ") for line in written.split("\n")] if "\n" in written else [written.strip(" ")]
    for word in words:
        if not _PLAIN.match(word) or ": " in word or " #" in word or word[-1] == ":":
            return None
    try:
        value = read_plain(" ".join(words))
    except ValueError:
        return None
    return value if isinstance(value, str) else None


class _Reader:
    """Takes one line after the other."""

    def __init__(self) -> None:
        self.root: tuple[Any, Spot] | None = None
        # Collections that are still open, the innermost last: column, value, spots of its parts.
        self._open: list[tuple[int, Any, Any]] = []
        # Where the latest value stands in the innermost collection.
        self._key: Any = None
        # The column of a key without a value as yet (it is None so far); -1: there is no such key.
        self._awaiting = -1
        # The latest value, when it is a plain scalar that goes on in lines indented deeper than `_limit`.
        self._plain: str | None = None
        # The latest value, when it is a text in double quotes that has not ended.
        self._quoted: str | None = None
        self._limit = -1

    @property
    def is_complete(self) -> bool:
        """Whether nothing is half read."""
        return self._quoted is None

    def take(self, number: int, line: str) -> None:
        """Take a line."""
        if self._quoted is not None:
            self._continue_quoted(line)
            return
        match = _LINE.match(line)
        assert match is not None  # it matches any line
        indent, dash, key, rest = match.groups()
        column = len(indent)
        if not dash and not key and (not rest or rest[0] == "#"):
            self._plain = None
        elif self._plain is not None and column > self._limit:
            self._continue_plain(line.strip(" "))
        elif dash:
            self._take_item(number, column, column + len(dash), match)
        elif key:
            self._enter(number, column, is_list=False)
            self._take_pair(number, column, match)
        else:
            raise _NotSimple

    def _take_item(self, number: int, column: int, inside: int, match: "re.Match[str]") -> None:
        self._enter(number, column, is_list=True)
        _, items, spots = self._open[-1]
        self._key = -1
        if match[3]:
            mapping: dict[Any, Any] = {}
            inner: dict[Any, Spot] = {}
            items.append(mapping)
            spots.append((number, inside + 1, inner))
            self._push(inside, mapping, inner)
            self._take_pair(number, inside, match)
        else:
            # Appended first: a text in quotes may end in a later line.
            items.append(None)
            items[-1], below = self._read_value(number, column, match)
            spots.append((number, inside + 1, below))

    def _take_pair(self, number: int, column: int, match: "re.Match[str]") -> None:
        _, mapping, spots = self._open[-1]
        self._key = key = read_plain(match[3])
        if key in mapping:
            raise _NotSimple
        rest = match[4]
        if not rest or rest[0] == "#":
            self._plain, self._awaiting = None, column
            mapping[key], below = None, None
        else:
            mapping[key], below = self._read_value(number, column, match)
        spots[key] = (number, column + 1, below)

    def _enter(self, number: int, column: int, *, is_list: bool) -> None:
        """Make the collection innermost to which an entry belongs, opening it when it is the first."""
        opened = self._open
        awaiting, self._awaiting = self._awaiting, -1
        while opened and opened[-1][0] > column:
            opened.pop()
        if opened and opened[-1][0] == column:
            if isinstance(opened[-1][1], list) == is_list:
                return
            if is_list and awaiting == column:
                # A list may stand right below its key.
                self._open_below(column, is_list=True)
                return
            # Where it ends, its mapping goes on.
            opened.pop()
            if is_list or not opened or opened[-1][0] != column:
                raise _NotSimple
        elif 0 <= awaiting < column:
            self._open_below(column, is_list=is_list)
        elif self.root is None and column == 0:
            value, inner = _empty(is_list=is_list)
            self.root = (value, (number, 1, inner))
            self._push(0, value, inner)
        else:
            raise _NotSimple

    def _open_below(self, column: int, *, is_list: bool) -> None:
        """Give the key that awaits its value a collection."""
        _, mapping, spots = self._open[-1]
        mapping[self._key], inner = _empty(is_list=is_list)
        spots[self._key] = (*spots[self._key][:2], inner)
        self._push(column, mapping[self._key], inner)

    def _push(self, column: int, value: Any, inner: Any) -> None:
        if len(self._open) >= _DEPTH_MAX:
            raise _NotSimple
        self._open.append((column, value, inner))

    def _read_value(self, number: int, limit: int, match: "re.Match[str]") -> tuple[Any, Any]:
        """The value that begins in this line, and the spots of its parts; `limit` is the column of what holds it."""
        rest = match[4].rstrip(" ")
        self._limit = limit
        if _PLAIN.match(rest):
            self._plain, more = _plain(rest)
            value = read_plain(self._plain)
            if not more:
                self._plain = None
            return value, None
        self._plain = None
        if rest[:1] == '"':
            self._quoted = ""
            # Blanks at the end of a line may count.
            return self._continue_quoted(match[4]), None
        if single := _SINGLE_QUOTED.fullmatch(rest):
            return single[1].replace("''", "'"), None
        return _read_flow(number, match.start(4), rest)

    def _continue_plain(self, line: str) -> None:
        assert self._plain is not None
        if not _PLAIN.match(line) or len(self._plain) > _SCALAR_CHARACTERS_MAX:
            raise _NotSimple
        text, more = _plain(line)
        self._plain = f"{self._plain} {text}"
        self._open[-1][1][self._key] = read_plain(self._plain)
        if not more:
            self._plain = None

    def _continue_quoted(self, line: str) -> Any:
        """Decode a text in double quotes once its last line is there; the value so far is None."""
        if self._quoted and line and not line.startswith(" " * (self._limit + 1)):
            raise _NotSimple
        self._quoted = f"{self._quoted}\n{line}" if self._quoted else line
        if len(self._quoted) > _SCALAR_CHARACTERS_MAX:
            raise _NotSimple
        match = _DOUBLE_QUOTED.fullmatch(self._quoted.rstrip(" ")) if '"' in line else None
        if match is None:
            return None
        self._quoted = None
        value = _decode(match[1])
        if "\n" in match[1]:
            self._open[-1][1][self._key] = value
        return value


def _empty(*, is_list: bool) -> tuple[Any, Any]:
    """A collection and its spots."""
    return ([], []) if is_list else ({}, {})


def _plain(text: str) -> tuple[str, bool]:
    """Cut a comment off a line of a plain scalar; say whether it may go on in the next line."""
    has_comment = " #" in text
    if has_comment:
        text = text[: text.index(" #")].rstrip(" ")
    if ": " in text or text[-1] == ":":
        raise _NotSimple
    return text, not has_comment


def _decode(quoted: str) -> str:
    """Escapes, and lines that are folded, are left to the parser."""
    if "\\" not in quoted and "\n" not in quoted:
        return quoted[1:-1]
    try:
        for event in yaml.parse(quoted, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.ScalarEvent):
                return str(event.value)
    except yaml.YAMLError as exc:
        raise _NotSimple from exc
    raise _NotSimple


def _read_flow(number: int, column: int, text: str) -> tuple[Any, Any]:
    """Words in brackets or braces, within one line; `column` is where they begin."""
    if _FLOW_LIST.fullmatch(text):
        found = list(_FLOW_ITEM.finditer(text.partition(" #")[0]))
        return [read_plain(item[0]) for item in found], [
            (number, column + item.start() + 1, None) for item in found
        ]
    if not _FLOW_MAPPING.fullmatch(text):
        raise _NotSimple
    pairs = list(_FLOW_PAIR.finditer(text.partition(" #")[0]))
    mapping = {read_plain(pair[1]): read_plain(pair[2]) for pair in pairs}
    if len(mapping) < len(pairs):
        raise _NotSimple
    return mapping, {
        key: (number, column + pair.start() + 1, None) for key, pair in zip(mapping, pairs, strict=True)
    }
