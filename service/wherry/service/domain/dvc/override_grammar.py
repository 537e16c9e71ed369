"""Hydra's basic override grammar: `k=v`, `+k=v`, `++k=v`, `~k` with values that are written out.

What takes more than that (`int(3.7)`, `${a.b}`, groups of configurations) is for Hydra itself, which starts slowly and
explains little; these are nearly all overrides that people write.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from wherry.service.domain.errors import InvalidInput


class BeyondBasics(Exception):
    """An override, or the file that it changes, takes Hydra itself. Like a look-up that failed, no error for users."""


class Change(StrEnum):
    """What an override does."""

    SET = ""
    ADD = "+"
    ADD_OR_SET = "++"
    DELETE = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One override, read."""

    text: str
    change: Change
    keys: tuple[str, ...]
    value: Any
    """None also when none was given."""


_KEY_WORD = r"(?:[A-Za-z_$][A-Za-z0-9_$-]*|0|[1-9](?:_?[0-9])*)"
_NAME = r"[A-Za-z_$][A-Za-z0-9_$-]*"
_HEAD = re.compile(
    rf"(?P<change>\+\+|\+|~|)(?P<key>{_KEY_WORD}(?:\.{_KEY_WORD})+|{_NAME})(?P<rest>.*)", re.DOTALL
)

_UNSIGNED = r"(?:0|[1-9](?:_?[0-9])*)"
_POINT = rf"(?:{_UNSIGNED}?\.[0-9](?:_?[0-9])*|{_UNSIGNED}\.)"

# In the order of Hydra's lexer: the longest match wins, and among equals the first.
_TOKENS = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("(", r"[ \t]*\([ \t]*"),
        (",", r"[ \t]*,[ \t]*"),
        (")", r"[ \t]*\)"),
        ("[", r"\[[ \t]*"),
        ("]", r"[ \t]*\]"),
        ("{", r"\{[ \t]*"),
        ("}", r"[ \t]*\}"),
        (":", r"[ \t]*:[ \t]*"),
        ("=", r"[ \t]*=[ \t]*"),
        ("float", rf"[+-]?(?:(?:{_POINT}|{_UNSIGNED})[eE][+-]?[0-9](?:_?[0-9])*|{_POINT}|(?i:inf|nan))"),
        ("int", rf"[+-]?{_UNSIGNED}"),
        ("bool", r"(?i:true|false)"),
        ("null", r"(?i:null)"),
        ("character", r"[/\-\\+.$%*@?|]"),
        ("word", r"[A-Za-z_][A-Za-z0-9_-]*"),
        ("escape", r"(?:\\[\\()\[\]{}:=, \t])+"),
        ("blank", r"[ \t]+"),
        ("quoted", r""""(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)"|'(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)'"""),
        ("interpolation", r"\$\{[^}]+\}"),
    )
)
_IN_TEXT = frozenset({"word", "null", "int", "float", "bool", "character", "escape", "blank"})

# What DVC itself allows on a command line is shorter; deeper ones would exhaust the stack.
_DEPTH_MAX = 50


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def parse_override(text: str) -> Override:
    """Read one override.

    Raises:
        BeyondBasics: if it takes Hydra to read it.
        InvalidInput: if Hydra would refuse it, or it is a sweep over several values.
    """
    head = _HEAD.fullmatch(text)
    rest = head["rest"] if head else ""
    if head is None or (rest and not rest.startswith("=")):
        if re.match(r"[+~]*[^=]*[@/]", text):
            raise BeyondBasics
        _refuse(text, "expected a key made of letters, digits, '_', '-' and dots, then '='")
    if not rest and head["change"] != "~":
        _refuse(text, "there is no '='")
    value = _Reader(text, rest[1:].lstrip(" \t")).read() if rest else None
    return Override(text=text, change=Change(head["change"]), keys=tuple(head["key"].split(".")), value=value)


def _refuse(text: str, why: str) -> NoReturn:
    raise InvalidInput(
        f"{text!r} cannot be read: {why}",
        hint="KEY=VALUE sets, +KEY=VALUE adds, ~KEY removes; quote a value that has ( ) = or non-ASCII letters.",
    )


def refuse_sweep(text: str) -> InvalidInput:
    """Say that one value is expected."""
    return InvalidInput(
        f"{text!r} is a sweep over several values",
        hint="`wherry exp run` makes a run for each; text with commas goes in quotes, a list in brackets.",
    )


class _Reader:
    """Reads the value of an override by recursive descent."""

    def __init__(self, text: str, value: str) -> None:
        self._text = text
        self._tokens = list(self._split(value))
        self._at = 0
        self._depth = 0

    def _split(self, value: str) -> Iterator[_Token]:
        at = 0
        while at < len(value):
            best = _Token("", "")
            for kind, pattern in _TOKENS:
                match = pattern.match(value, at)
                if match and len(match[0]) > len(best.text):
                    best = _Token(kind, match[0])
            if not best.text:
                _refuse(self._text, f"{value[at]!r} must stand in quotes")
            yield best
            at += len(best.text)

    def _kind(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else "end"

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def read(self) -> Any:
        if not self._tokens:
            return ""
        value = self._element()
        if self._kind() == ",":
            raise refuse_sweep(self._text)
        if self._kind() != "end":
            _refuse(self._text, f"{self._take().text.strip()!r} is not expected there")
        return value

    def _element(self) -> Any:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            _refuse(self._text, "it is nested too deeply")
        kind = self._kind()
        if kind == "[":
            value: Any = self._list()
        elif kind == "{":
            value = self._mapping()
        elif kind == "quoted":
            value = _unquote(self._take().text)
        else:
            value = self._plain(_IN_TEXT | {":"})
        self._depth -= 1
        return value

    def _list(self) -> list[Any]:
        self._take()
        items: list[Any] = []
        while self._kind() != "]":
            if items:
                self._expect(",")
            items.append(self._element())
        self._take()
        return items

    def _mapping(self) -> dict[Any, Any]:
        self._take()
        pairs: dict[Any, Any] = {}
        while self._kind() != "}":
            if pairs:
                self._expect(",")
            key = self._plain(_IN_TEXT)
            self._expect(":")
            pairs[key] = self._element()
        self._take()
        return pairs

    def _expect(self, kind: str) -> None:
        if self._kind() != kind:
            _refuse(self._text, f"expected {kind!r}")
        self._take()

    def _plain(self, kinds: frozenset[str]) -> Any:
        """Read text without quotes: one token has its own type, several are text."""
        tokens = []
        while self._kind() in kinds:
            tokens.append(self._take())
        self._refuse_special(tokens)
        if tokens and tokens[0].kind == "blank":
            tokens = tokens[1:]
        if tokens and tokens[-1].kind == "blank":
            tokens = tokens[:-1]
        if not tokens:
            _refuse(self._text, "a value is missing")
        if len(tokens) > 1:
            return "".join(_plain_text(token) for token in tokens)
        return _typed(tokens[0])

    def _refuse_special(self, tokens: list[_Token]) -> None:
        kind = self._kind()
        if kind == "interpolation" or (kind == "(" and len(tokens) == 1 and tokens[0].kind == "word"):
            raise BeyondBasics
        if kind == "quoted" and tokens and tokens != [_Token("blank", tokens[0].text)]:
            _refuse(self._text, "quotes must stand around the whole value")


def _plain_text(token: _Token) -> str:
    return token.text[1::2] if token.kind == "escape" else token.text


def _typed(token: _Token) -> Any:
    if token.kind == "int":
        return int(token.text)
    if token.kind == "float":
        return float(token.text)
    if token.kind == "bool":
        return token.text.lower() == "true"
    return None if token.kind == "null" else _plain_text(token)


def _unquote(text: str) -> str:
    """Drop the quotes; of backslashes before a quote every other one goes, all others stay."""
    quote = text[0]
    unescaped = re.sub(rf"(\\+){quote}", lambda match: match[0][1::2], text[1:])
    # Backslashes before the closing quote were an even number, so that it was dropped with them or stands last.
    return unescaped.removesuffix(quote) if not re.search(rf"\\+{quote}\Z", text) else unescaped
