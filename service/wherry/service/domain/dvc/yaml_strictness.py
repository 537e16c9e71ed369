"""What libyaml reads and ruamel.yaml, with which DVC reads, refuses: some tabs, and some blank lines.

A tab may stand in brackets, quotes, block scalars and comments, and nowhere else. The first line of a block scalar may
be blank, but when there are blanks in it, no line of the scalar may have more of them in front. A document ends once.
"""

import bisect
import re
from collections.abc import Iterator

import yaml

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_BLANK_LINE = re.compile("^ +$", re.MULTILINE)
_END = re.compile(r"^\.\.\.(?=\s|$)", re.MULTILINE)
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#")

# The head of a block scalar that says itself how far its text is indented.
_INDENTED = re.compile(r"[|>][+-]?[1-9]")

_Position = tuple[int, int]
"""Line and column, from 0."""


class StricterReading(Exception):
    """ruamel.yaml refuses the document."""

    def __init__(self, message: str, hint: str, position: _Position) -> None:
        """Say what is wrong, and where."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.line = position[0] + 1
        self.column = position[1] + 1


def strictly(events: Iterator[yaml.Event], text: str) -> Iterator[yaml.Event]:
    """Pass the events of a text on.

    Raises:
        StricterReading: behind the last of them, or at a block scalar.
    """
    if "\t" not in text and _BLANK_LINE.search(text) is None and _END.search(text) is None:
        return events
    return _checked(events, _BREAK.split(text))


def _checked(events: Iterator[yaml.Event], lines: list[str]) -> Iterator[yaml.Event]:
    # Where tabs may stand, in order; nothing that lies in brackets has a span of its own.
    spans: list[tuple[_Position, _Position]] = []
    open_brackets: list[_Position] = []
    for event in events:
        yield event
        if isinstance(event, yaml.ScalarEvent) and event.style:
            begin = _begin(lines, event, event.style)
            if event.style in {"|", ">"}:
                _check_first_lines(lines, begin)
                begin = (begin[0] + 1, 0)
            if not open_brackets:
                spans.append((begin, _end(event)))
        elif isinstance(event, yaml.CollectionStartEvent) and event.flow_style:
            open_brackets.append(_begin(lines, event, "[{"))
        elif isinstance(event, yaml.CollectionEndEvent) and open_brackets:
            # What is open in brackets is in brackets itself.
            outermost = open_brackets.pop()
            if not open_brackets:
                spans.append((outermost, _end(event)))
    _check_tabs(lines, spans)
    _check_ends(lines)


def _begin(lines: list[str], event: yaml.Event, marks: str) -> _Position:
    """Where one of the marks stands, behind an anchor and a tag that the event begins with."""
    mark = event.start_mark
    assert mark is not None  # the parser always sets it
    column = mark.column
    for number in range(mark.line, len(lines)):
        found = [at for sign in marks if (at := lines[number].find(sign, column)) >= 0]
        if found:
            return number, min(found)
        column = 0
    # A pair in brackets is a mapping without any of its own.
    return mark.line, mark.column


def _end(event: yaml.Event) -> _Position:
    mark = event.end_mark
    assert mark is not None  # the parser always sets it
    return mark.line, mark.column


def _check_first_lines(lines: list[str], head: _Position) -> None:
    if _INDENTED.match(lines[head[0]], head[1]):
        return
    first = None
    for number in range(head[0] + 1, len(lines)):
        line = lines[number]
        blanks = len(line) - len(line.lstrip(" "))
        if first and blanks > first:
            raise StricterReading(
                "a block scalar begins with a blank line that is less indented than what follows",
                "Take the blanks out of that line.",
                (head[0] + 1, 0),
            )
        if blanks < len(line):
            return
        first = blanks if first is None else first


def _check_ends(lines: list[str]) -> None:
    ends = [number for number, line in enumerate(lines) if _END.match(line)]
    if len(ends) > 1:
        raise StricterReading("the document ends here a second time", "Leave one `...`.", (ends[1], 0))


def _check_tabs(lines: list[str], spans: list[tuple[_Position, _Position]]) -> None:
    for number, line in enumerate(lines):
        if "\t" not in line:
            continue
        comments = (found.start() for found in _COMMENT.finditer(line))
        comment = next((at for at in comments if not _is_in(spans, (number, at))), len(line))
        for found in re.finditer("\t", line[:comment]):
            position = (number, found.start())
            if not _is_in(spans, position):
                raise StricterReading(
                    "a tab cannot stand here", "Write spaces, or put the text into quotes.", position
                )


def _is_in(spans: list[tuple[_Position, _Position]], position: _Position) -> bool:
    before = bisect.bisect_right(spans, position, key=lambda span: span[0]) - 1
    return before >= 0 and position < spans[before][1]
