"""YAML as DVC reads it: version 1.2, duplicate keys refused, every value with its place.

What simple_yaml.py cannot read is parsed into events by libyaml's C code and built here without recursion, so that
neither depth nor aliases can hurt: an alias bomb is an error before anything is expanded. What libyaml reads and ruamel's
safe loader does not is refused by yaml_strictness.py.

All that is read differs in nothing from what ruamel reads. Refused beyond what ruamel refuses are

- lists and mappings as keys, sets, ordered maps and other tags, and values that contain themselves;
- `%YAML 1.1`, and a second document;
- a key that stands twice in a mapping with `<<`, where ruamel lets the later one win;
- what libyaml's grammar has no place for: a tab before the first word of a line, a key or item that is indented other
  than those before it behind an anchor or a tag, a directive or text behind a document's end.

tests/unit/domain/test_yaml_documents.py holds it to that. Editing and emitting is emit.py's.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

from wherry.service.domain.dvc.scalars import EXPLICIT, read_plain
from wherry.service.domain.dvc.simple_yaml import Spot, read_simple
from wherry.service.domain.dvc.yaml_strictness import StricterReading, strictly
from wherry.service.domain.errors import PipelineInvalid, Place

# Deeper than any file a person or a tool of ours writes; later walks over the values may recurse.
DEPTH_MAX = 100

# Values that exist only because an alias repeats them. Real files repeat tens.
REPEATED_VALUES_MAX = 1_000_000

Inner = dict[Any, Spot] | list[Spot] | None
"""The spots of what a value holds."""

_COLLECTION_TAGS = frozenset({None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """A file's value, and where its parts stand."""

    path: str
    value: Any
    _spot: Spot = field(repr=False, compare=False)

    def place(self, *keys: str | int) -> Place:
        """Find the line and column of the key or item reached by `keys`, or of what holds it when absent."""
        spot = self._spot
        for key in keys:
            following = _step(spot[2], key)
            if following is None:
                break
            spot = following
        return Place(path=self.path, line=spot[0], column=spot[1])

    def find(self, place: Place) -> tuple[str | int, ...] | None:
        """Find the keys that lead to a place, the outermost that begins there; None when nothing does."""
        stack: list[tuple[tuple[str | int, ...], Spot]] = [((), self._spot)]
        seen: set[int] = set()
        while stack:
            keys, (line, column, inner) = stack.pop()
            if keys and (line, column) == (place.line, place.column):
                return keys
            # What an alias repeats is looked at once.
            if inner is None or id(inner) in seen:
                continue
            seen.add(id(inner))
            items = inner.items() if isinstance(inner, dict) else enumerate(inner)
            stack.extend([((*keys, key), below) for key, below in items][::-1])
        return None

    def without(self, *keys: str | int) -> "YamlDocument":
        """Leave out the value reached by `keys`; all else keeps its place. This document does not change."""
        value, spot = _prune(self.value, self._spot, keys)
        return YamlDocument(path=self.path, value=value, _spot=spot)


def _prune(value: Any, spot: Spot, keys: tuple[str | int, ...]) -> tuple[Any, Spot]:
    """Copy along the way only: the rest may be shared through aliases."""
    key, *rest = keys
    # Two mappings or two lists, in step.
    line, column, inner = spot
    value, inner = value.copy(), inner.copy()
    if rest:
        value[key], inner[key] = _prune(value[key], inner[key], tuple(rest))
    else:
        del value[key], inner[key]
    return value, (line, column, inner)


def _step(inner: Inner, key: str | int) -> Spot | None:
    if isinstance(inner, dict):
        return inner.get(key)
    if isinstance(inner, list) and isinstance(key, int) and 0 <= key < len(inner):
        return inner[key]
    return None


def parse_yaml(data: bytes, path: str) -> YamlDocument:
    """Read one document. An empty file has the value None.

    Raises:
        PipelineInvalid: with its place, if it is not UTF-8, not YAML 1.2, or built to exhaust memory.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise PipelineInvalid(
            "the file is not UTF-8 text", hint="Save it as UTF-8.", place=Place(path=path, line=line)
        ) from exc
    simple = read_simple(text)
    value, spot = simple or build_document(text, path)
    return YamlDocument(path=path, value=value, _spot=spot)


def build_document(text: str, path: str) -> tuple[Any, Spot]:
    """Read a text with the full parser: its value and place.

    Raises:
        PipelineInvalid: as `parse_yaml`.
    """
    builder = _Builder(path)
    try:
        builder.build(strictly(yaml.parse(text, Loader=yaml.CSafeLoader), text))
    except yaml.YAMLError as exc:
        raise _refuse_syntax(exc, path) from exc
    except StricterReading as exc:
        place = Place(path=path, line=exc.line, column=exc.column)
        raise PipelineInvalid(f"this is not valid YAML: {exc.message}", hint=exc.hint, place=place) from exc
    return builder.value, builder.spot


# What is mostly behind the words of the parser.
_SYNTAX_HINTS = (
    ("found a tab character", "YAML is indented with spaces, not with tabs."),
    (
        "cannot start any token",
        "YAML is indented with spaces, not with tabs; texts that begin with @, ` or % need quotes.",
    ),
    (
        "mapping values are not allowed",
        "A text with ': ' in it needs quotes; or a colon is missing on the line before.",
    ),
    ("could not find expected ':'", "A colon is missing; or the file holds the marks of a merge conflict."),
    ("unexpected end of stream", "A quote or bracket that was opened is not closed."),
    ("did not find expected", "Look at the indentation, and for a quote or bracket that is not closed."),
)


def _refuse_syntax(exc: yaml.YAMLError, path: str) -> PipelineInvalid:
    mark = getattr(exc, "problem_mark", None)
    place = Place(path=path, line=mark.line + 1, column=mark.column + 1) if mark else Place(path=path)
    problem = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "it cannot be read"
    hint = next((hint for part, hint in _SYNTAX_HINTS if part in problem), "")
    return PipelineInvalid(f"this is not valid YAML: {problem}", hint=hint, place=place)


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    inner: Inner
    size: int


@dataclass(slots=True)
class _Frame:
    """A collection being built."""

    value: Any
    spot: Spot
    inner: dict[Any, Spot] | list[Spot]
    """The spots of its parts, which `spot` has too."""
    anchor: str | None
    merged: Any = None
    key: Any = None
    key_spot: Spot | None = None
    key_merges: bool = False
    size: int = 1
    """Values in it, those that aliases repeat included."""


class _Builder:
    """Builds values from events with a stack of its own."""

    def __init__(self, path: str) -> None:
        self.value: Any = None
        self.spot: Spot = (1, 1, None)
        self._path = path
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._repeated = 0
        self._documents = 0

    def build(self, events: Iterator[yaml.Event]) -> None:
        """Take all events of a stream."""
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._take_scalar(event)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._open(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._close()
            elif isinstance(event, yaml.AliasEvent):
                self._take_alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._begin_document(event)

    def _refuse(self, message: str, event: yaml.Event, hint: str = "") -> PipelineInvalid:
        return PipelineInvalid(message, hint=hint, place=self._place(_spot_of(event)))

    def _place(self, spot: Spot) -> Place:
        return Place(path=self._path, line=spot[0], column=spot[1])

    def _begin_document(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._refuse("a second document begins here; DVC reads files of one", event)
        if event.version not in {None, (1, 2)}:
            raise self._refuse("only YAML 1.2 is read here; drop the %YAML line", event)

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        text = event.value
        plain = event.implicit[0] and event.tag in {None, "!"}
        frame = self._stack[-1] if self._stack else None
        at_key = frame is not None and isinstance(frame.value, dict) and frame.key_spot is None
        if frame is not None and at_key and plain and text == "<<":
            frame.key, frame.key_spot, frame.key_merges = text, _spot_of(event), True
            return
        value = self._read_scalar(event, text, plain=plain, at_key=at_key)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, None, 1)
        self._put(value, _spot_of(event), 1)

    def _read_scalar(self, event: yaml.ScalarEvent, text: str, *, plain: bool, at_key: bool) -> Any:
        try:
            if plain:
                if text == "<<" or (text == "=" and not at_key):
                    raise self._refuse(f"{text!r} must be quoted", event)
                return read_plain(text)
            if event.tag is None or event.tag == "!":
                return text
            if event.tag in EXPLICIT:
                return EXPLICIT[event.tag](text)
        except ValueError as exc:
            raise self._refuse(f"{text[:80]!r} looks like a number or a date and is none", event) from exc
        raise self._refuse(f"the tag {event.tag!r} is not understood", event)

    def _take_alias(self, event: yaml.AliasEvent) -> None:
        name = event.anchor or ""
        if name not in self._anchors:
            raise self._refuse(f"nothing is anchored as {name!r}", event, self._anchors_hint(name))
        anchored = self._anchors[name]
        if anchored is None:
            raise self._refuse(f"{name!r} contains itself", event)
        self._repeated += anchored.size
        if self._repeated > REPEATED_VALUES_MAX:
            raise self._refuse("aliases repeat too much", event)
        self._put(anchored.value, _spot_of(event, anchored.inner), anchored.size)

    def _anchors_hint(self, name: str) -> str:
        near = get_close_matches(name, self._anchors, n=1)
        if near:
            return f"Did you mean *{near[0]}?"
        return f"&{name} stands before a value further up; a text that begins with * needs quotes."

    def _open(self, event: "yaml.MappingStartEvent | yaml.SequenceStartEvent") -> None:
        if event.tag not in _COLLECTION_TAGS:
            raise self._refuse(f"the tag {event.tag!r} is not understood", event)
        if len(self._stack) >= DEPTH_MAX:
            raise self._refuse(f"values are nested deeper than {DEPTH_MAX} levels", event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        value: Any = {} if is_mapping else []
        inner: dict[Any, Spot] | list[Spot] = {} if is_mapping else []
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Frame(value, _spot_of(event, inner), inner, event.anchor))

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.merged is not None:
            # Same object: an anchor may hold it already.
            own = dict(frame.value)
            frame.value.clear()
            frame.value.update(frame.merged)
            frame.value.update(own)
        # Given again inside, it stands for what is inside.
        if frame.anchor and self._anchors[frame.anchor] is None:
            self._anchors[frame.anchor] = _Anchored(frame.value, frame.inner, frame.size)
        self._put(frame.value, frame.spot, frame.size)

    def _put(self, value: Any, spot: Spot, size: int) -> None:
        """Hand a finished value to what holds it."""
        if not self._stack:
            self.value, self.spot = value, spot
            return
        frame = self._stack[-1]
        frame.size += size
        inner = frame.inner
        if isinstance(inner, list):
            frame.value.append(value)
            inner.append(spot)
        elif frame.key_spot is None:
            self._put_key(frame, value, spot)
        elif frame.key_merges:
            self._merge(frame, value, spot)
            frame.key_spot, frame.key_merges = None, False
        else:
            frame.value[frame.key] = value
            line, column, _ = frame.key_spot
            inner[frame.key] = (line, column, spot[2])
            frame.key_spot = None

    def _put_key(self, frame: _Frame, key: Any, spot: Spot) -> None:
        place = self._place(spot)
        if not isinstance(key, Hashable):
            raise PipelineInvalid("a list or mapping cannot be a key here", place=place)
        if key in frame.value:
            assert isinstance(frame.inner, dict)
            first, _, _ = frame.inner[key]
            raise PipelineInvalid(
                f"the key {key!r} stands here a second time; the first is on line {first}",
                hint="Rename one, or put the two together.",
                place=place,
            )
        frame.key, frame.key_spot = key, spot

    def _merge(self, frame: _Frame, value: Any, spot: Spot) -> None:
        """Take the mappings under `<<`: of several the first wins, and all yield to own keys."""
        sources = value if isinstance(value, list) else [value]
        place = self._place(spot)
        if frame.merged is not None or not all(isinstance(source, dict) for source in sources):
            raise PipelineInvalid("`<<` takes one mapping or a list of mappings, once", place=place)
        frame.merged = {}
        for source in reversed(sources):
            frame.merged.update(source)
        spots = spot[2] if isinstance(spot[2], list) else [spot]
        assert isinstance(frame.inner, dict)
        for _, _, source in spots:
            if isinstance(source, dict):
                for key, inner_spot in source.items():
                    frame.inner.setdefault(key, inner_spot)


def _spot_of(event: yaml.Event, inner: Inner = None) -> Spot:
    mark = event.start_mark
    assert mark is not None  # the parser always sets it
    return (mark.line + 1, mark.column + 1, inner)
