"""`${…}` in texts: which texts hold expressions, and what they become. The rules are those of DVC 3.

Where the values come from is context.py's; which parts of dvc.yaml are resolved, and how, is expansion.py's.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from wherry.service.domain.dvc.dvc_config import DEFAULT_PARSING, ParsingSettings
from wherry.service.domain.dvc.shape import kind_of

# word, then `.word` or `[word]`; possessive, so that no text can make it slow.
_GRAMMAR = re.compile(r"[^.\[\]]++(?:[ \t\r]*+(?:\.[^.\[\]]++|\[[^.\[\]]++\]))*+[ \t\r]*+")

# Values visited and characters written while one file is resolved. Real files need some thousands.
_EFFORT_MAX = 50_000_000


class TemplateError(Exception):
    """An expression that DVC would refuse; `path` leads to it from the value that was resolved."""

    def __init__(self, message: str, *, hint: str = "", path: tuple[str | int, ...] = ()) -> None:
        """Say what is wrong, and what would be right."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path


class Accepts(Enum):
    """What an expression may stand for."""

    SCALARS = "scalars"
    """No list and no mapping: in a stage."""
    COMMAND = "command"
    """A mapping too, written as options of a command line: in `cmd`."""
    ANYTHING = "anything"
    """Also lists: in foreach, matrix and the sections on the top level."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A value that an expression stood for, as opposed to one that is written in place."""

    value: Any


class Effort:
    """Counts what resolving one file costs, so that a small file cannot grow without bound."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        """Start with the whole budget."""
        self._left = _EFFORT_MAX

    def spend(self, amount: int) -> None:
        """Take some of it.

        Raises:
            TemplateError: if nothing is left.
        """
        self._left -= amount
        if self._left < 0:
            raise TemplateError(
                "templates in this file grow too large", hint="Generate fewer, smaller stages."
            )


@dataclass(frozen=True, slots=True)
class _Expression:
    start: int
    end: int
    inner: str
    words: tuple[str, ...]
    """Its parts: names of mappings and indices of lists."""


class TemplateTexts:
    """Finds the expressions of each text once, however many stages are made of it."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        """Begin without any."""
        self._found: dict[str, tuple[_Expression, ...]] = {}

    def find(self, text: str) -> tuple[_Expression, ...]:
        """The expressions of a text, in order."""
        found = self._found.get(text)
        if found is None:
            found = self._found[text] = tuple(_find(text))
        return found


class Rules(NamedTuple):
    """How the expressions of one value are resolved. Made for each stage, and so no dataclass (see Shape)."""

    select: Callable[[str, Sequence[str]], Any]
    """Finds the value of an expression by its parts, or raises TemplateError."""
    accepts: Accepts
    effort: Effort
    texts: TemplateTexts
    parsing: ParsingSettings = DEFAULT_PARSING
    marks_selected: bool = False
    """Give the value of a text that is one expression as `Selected`."""


def _find(text: str) -> Iterator[_Expression]:
    """Yield each `${` without a backslash before it, to the nearest `}` of the same line.

    Written out, as the expression that says the same takes a time quadratic in the length.
    """
    close = newline = -1
    position = 0
    while (start := text.find("${", position)) >= 0:
        position = start + 2
        if text[start - 1 : start] == "\\":
            continue
        if close < position:
            close = text.find("}", position)
        if close < 0:
            return
        if newline < position:
            # Without one more, the end of the text (-1 becomes its length).
            newline = text.find("\n", position) % (len(text) + 1)
        if close < newline:
            inner = text[position:close]
            yield _Expression(start, close + 1, inner, _words(inner))
            position = close + 1


def _words(expression: str) -> tuple[str, ...]:
    words = expression.replace("[", ".").replace("]", "").split(".")
    return tuple(word.strip() for word in words)


def expressions(text: str) -> Iterator[str]:
    """Yield what stands between `${` and `}`; an escaped one is text."""
    return (found.inner for found in _find(text))


def check_syntax(value: Any) -> None:
    """Check all expressions in a value, without looking them up.

    Raises:
        TemplateError: at the first that is no name with parts.
    """
    for path, text in _texts(value):
        for inner in expressions(text):
            if not _GRAMMAR.fullmatch(inner):
                raise TemplateError(
                    f"'${{{inner}}}' is not an expression",
                    hint="Write a name, its parts with dots or brackets: ${model.layers[0]}. "
                    "A backslash before it keeps ${…} as text.",
                    path=path,
                )


def holds_expressions(value: Any) -> bool:
    """Whether there is any in a value, an escaped one included: what resolving may change."""
    return any("${" in text for _, text in _texts(value))


def count_values(value: Any) -> int:
    """How many values are in one, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(count_values, value.values()))
    return 1 + sum(map(count_values, value)) if isinstance(value, list) else 1


def refuse_expressions(value: Any) -> None:
    """Refuse any expression in a value.

    Raises:
        TemplateError: at the first.
    """
    for path, text in _texts(value):
        if next(expressions(text), None) is not None:
            raise TemplateError(
                f"DVC resolves nothing in vars, so {text!r} cannot stand here",
                hint="Write the value.",
                path=path,
            )


def _texts(value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield (), value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield (key,), key
            yield from (((key, *path), text) for path, text in _texts(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from (((index, *path), text) for path, text in _texts(inner))


def resolve(value: Any, rules: Rules) -> Any:
    """Resolve a value: the keys and values of mappings, the items of lists, and texts.

    Raises:
        TemplateError: with the path to the text that is wrong.
    """
    if isinstance(value, str):
        return resolve_text(value, rules)
    if isinstance(value, dict):
        return _resolve_mapping(value, rules)
    if isinstance(value, list):
        rules.effort.spend(len(value))
        return _resolve_items(value, rules)
    return value


def _resolve_items(items: Sequence[Any], rules: Rules) -> list[Any]:
    resolved: list[Any] = []
    try:
        for item in items:
            resolved.append(resolve(item, rules))  # noqa: PERF401 - an error needs the count
    except TemplateError as exc:
        exc.path = (len(resolved), *exc.path)
        raise
    return resolved


def _resolve_mapping(value: Mapping[Any, Any], rules: Rules) -> dict[Any, Any]:
    rules.effort.spend(len(value))
    resolved = {}
    for key, inner in value.items():
        new = _resolve_inner(key, key, rules) if isinstance(key, str) else key
        if isinstance(new, dict | list | Selected):
            raise TemplateError(f"{key!r} cannot be a key: DVC takes only text there", path=(key,))
        resolved[new] = _resolve_inner(key, inner, rules)
    return resolved


def _resolve_inner(key: str, inner: Any, rules: Rules) -> Any:
    try:
        return resolve(inner, rules)
    except TemplateError as exc:
        exc.path = (key, *exc.path)
        raise


def resolve_text(text: str, rules: Rules) -> Any:
    """Resolve one text. One that is a single expression becomes the value itself, of whatever type.

    Raises:
        TemplateError: if a value is unknown, or of a kind that cannot stand here.
    """
    if "${" not in text:
        return text
    found = rules.texts.find(text)
    if len(found) == 1 and found[0].end - found[0].start == len(text):
        value = _select(found[0], rules)
        return Selected(value) if rules.marks_selected else value
    parts, end = [], 0
    for expression in found:
        written = to_text(_select(expression, rules), rules.parsing)
        rules.effort.spend(len(written))
        parts.append(text[end : expression.start])
        parts.append(written)
        end = expression.end
    # DVC drops the backslash last, and so also within values.
    return "".join([*parts, text[end:]]).replace(r"\${", "${")


def _select(expression: _Expression, rules: Rules) -> Any:
    value = rules.select(expression.inner, expression.words)
    if rules.accepts is Accepts.ANYTHING or not isinstance(value, dict | list):
        return value
    if isinstance(value, dict) and rules.accepts is Accepts.COMMAND:
        return value
    only = "; a mapping may stand in cmd only" if isinstance(value, dict) else ""
    raise TemplateError(
        f"'${{{expression.inner}}}' is {kind_of(value)}, which cannot stand here",
        hint=f"Name one of its parts, as in ${{{expression.inner.strip()}{_example(value)}}}{only}.",
    )


def _example(value: Any) -> str:
    if isinstance(value, dict):
        return f".{next(iter(value))}" if value else ".key"
    return "[0]"


def to_text(value: Any, parsing: ParsingSettings = DEFAULT_PARSING) -> str:
    """Write a value as it stands within a text: true, false, None, numbers as Python does, mappings as options.

    Raises:
        TemplateError: if a mapping cannot be written as options.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return " ".join(_options(value, parsing)).rstrip()
    return str(value)


def _options(mapping: Mapping[str, Any], parsing: ParsingSettings) -> Iterator[str]:
    seen = set[str]()
    for name, value in _flatten(mapping, ""):
        if name in seen:
            raise TemplateError(f"two values would be written as --{name}", hint="Rename one of them.")
        seen.add(name)
        if isinstance(value, bool):
            if value:
                yield f"--{name}"
            elif parsing.boolean_optional:
                yield f"--no-{name}"
        elif isinstance(value, str):
            yield f"--{name} {shlex.quote(value)}"
        elif isinstance(value, list | bytes):
            yield from _list_options(name, value, parsing)
        else:
            yield f"--{name} {value}"


def _flatten(mapping: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _list_options(name: str, values: "list[Any] | bytes", parsing: ParsingSettings) -> Iterator[str]:
    for index, value in enumerate(values):
        if isinstance(value, list | dict | bytes):
            raise TemplateError(
                f"{name!r} is a list with {kind_of(value)} in it, which cannot be written as options",
                hint="Lists in a mapping that stands in cmd may hold texts, numbers, booleans and null only.",
            )
        word = shlex.quote(value) if isinstance(value, str) else str(value)
        yield f"--{name} {word}" if parsing.append or not index else word
