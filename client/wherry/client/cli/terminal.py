"""The terminal: what goes to stdout and stderr, colour, width, tables, and text that may not steer it."""

import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Sequence
from typing import TextIO

import click

from wherry.client.cli.meter import Meter
from wherry.client.cli.settings import Settings
from wherry.client.cli.units import size_words
from wherry.client.progress import Progress

# Colours of a program's own output (SGR) pass; everything else that a terminal obeys does not.
_OTHER_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b(?!\[)."
)
_ALL_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|" + _OTHER_ESCAPES.pattern)
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f]")
# From here on it is worth knowing what takes so long.
_LARGE_BYTES = 100 * 1024 * 1024

_STATE_COLORS = {
    "succeeded": "green",
    "cached": "cyan",
    "hit": "cyan",
    "running": "blue",
    "preparing": "blue",
    "run": "yellow",
    "failed": "red",
    "lost": "red",
    "invalid": "red",
    "cancelled": "magenta",
}


class Terminal(Progress):
    """Prints; and hears of the SDK's progress. Answers go to stdout, all else to stderr."""

    def __init__(self, settings: Settings) -> None:
        """Decide colour and liveliness once."""
        self.quiet = settings.quiet
        self.verbosity = settings.verbosity
        self.progress = settings.progress
        self._color = settings.color
        can_draw = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        is_wanted = settings.progress == "live" or (settings.progress == "auto" and not os.environ.get("CI"))
        self._live = can_draw and is_wanted and not settings.quiet
        self._lock = threading.Lock()
        self._meter = Meter(None)
        self._is_shown = False

    @property
    def width(self) -> int:
        """Columns of the terminal; 80 when there is none."""
        return shutil.get_terminal_size((80, 24)).columns

    @property
    def is_live(self) -> bool:
        """Whether stderr is a terminal on which things may be drawn and wiped."""
        return self._live

    def answer(self, text: str) -> None:
        """Print a line of the answer."""
        print(text)

    def document(self, document: dict[str, object]) -> None:
        """Print the one JSON document that is the answer."""
        print(json.dumps(document, indent=2, ensure_ascii=True))

    def note(self, text: str) -> None:
        """Print a line of progress, unless quiet."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning; never hidden, because it is about the user's files."""
        print(f"warning: {plain(text)}", file=sys.stderr, flush=True)

    def tell(self, line: str) -> None:
        """Print a line that belongs to the warning before it."""
        print(plain(line), file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Print a line with -v."""
        if self.verbosity:
            self.note(plain(text))

    def paint(self, text: str, word: str, stream: TextIO | None = None) -> str:
        """Colour text as the state `word` has it, if `stream` (stdout unless named) is to be coloured."""
        color = _STATE_COLORS.get(word)
        return click.style(text, fg=color) if color and self.colors(stream or sys.stdout) else text

    def colors(self, stream: TextIO) -> bool:
        """Whether colour is wanted there: --color, then NO_COLOR (no-color.org), then whether it is a terminal."""
        if self._color != "auto":
            return self._color == "always"
        return not os.environ.get("NO_COLOR") and stream.isatty()

    def begin(
        self,
        verb: str,
        files: int,
        size_bytes: int | None,
        largest: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Say what is going to be moved; of a large transfer of several files the largest."""
        amount = f", {size_words(size_bytes)}" if size_bytes is not None else ""
        self.note(f"{verb} {files} file{'' if files == 1 else 's'}{amount}")
        if files > 1 and (size_bytes or 0) >= _LARGE_BYTES:
            for path, size in largest:
                self.note(f"  {size_words(size):>10}  {shorten(plain(path), self.width - 14)}")
        self._meter, self._is_shown = Meter(size_bytes), False

    def advance(self, size_bytes: int) -> None:
        """Count, and show it on a terminal."""
        if not self._live:
            return
        with self._lock:
            words = self._meter.advance(size_bytes)
            if words is not None:
                self._is_shown = True
                print(f"\r  {shorten(words, self.width - 3)}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Wipe the counter."""
        if self._live and self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> list[str]:
    """Lay out columns as wide as they need; the last is cut to fit `width`."""
    lines = [header, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header) - 1)]
    room = max(10, width - sum(widths) - 2 * len(widths))
    return [
        "  ".join(
            [*(cell.ljust(widths[index]) for index, cell in enumerate(line[:-1])), shorten(line[-1], room)]
        ).rstrip()
        for line in lines
    ]


def shorten(text: str, width: int) -> str:
    """Cut text to a width, with an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def plain(text: str) -> str:
    """Make text from elsewhere harmless: no escapes, no control characters."""
    return _CONTROLS.sub("", _ALL_ESCAPES.sub("", text)).replace("\x1b", "")


def output_text(data: bytes, *, color: bool) -> str:
    """Make a line of a stage's output fit to print; of a redrawn line (tqdm) only the last state."""
    text = data.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r")[2]
    if not color:
        return plain(text)
    kept = _CONTROLS.sub("", _OTHER_ESCAPES.sub("", text))
    return kept + "\x1b[0m" if "\x1b" in kept else kept
