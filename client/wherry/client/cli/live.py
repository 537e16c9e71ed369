"""The watched run on a terminal: a table that stays in place, redrawn a few times in a second at most."""

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

from wherry.client.cli.columns import columns_of, fit, fit_name, pad
from wherry.client.cli.run_model import RunModel, WatchedStage
from wherry.client.cli.terminal import Terminal, output_text, plain
from wherry.client.cli.units import duration_words
from wherry.client.stage_names import StageNames
from wherry.client.watching import ConnectionBack, ConnectionLost, Event, Output, StageChanged
from wherry.v1.runs_pb2 import Run

# Redrawn so often at most, and so often at least while something runs: a clock is on the screen.
_QUICK_S = 0.1
_SLOW_S = 1.0
_NAME_COLUMNS_MAX = 40
_TAIL_MAX = 5
# As many lines stay at the end of a run; more stages than that are told in groups.
_LASTING_LINES_MAX = 40
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the screen: what it says, and the word in it that has a colour."""

    text: str
    word: str = ""
    before: int = 0
    """Characters before the word."""


class LiveFollower:
    """Draws one run on stderr, which is a terminal."""

    def __init__(self, terminal: Terminal, run: Run, names: StageNames) -> None:
        """Take where to draw, the run as it was accepted, and how its stages are called here."""
        self._terminal = terminal
        self._run = run
        self._names = names
        self._model = RunModel(run, time.time())
        self._lock = threading.Lock()
        self._is_dirty = True
        self._drawn: list[int] = []
        """Columns of each line that is on the screen."""
        self._over = threading.Event()

    def follow(self, events: Iterable[Event]) -> None:
        """Draw until the run has ended; what stays is how each stage ended."""
        drawer = threading.Thread(target=self._draw_on, daemon=True)
        sys.stderr.write(_HIDE_CURSOR)
        drawer.start()
        lasting: list[Row] | None = None
        try:
            for event in events:
                with self._lock:
                    self._take(event)
                    self._is_dirty = True
            lasting = list(lasting_rows(self._model, self._names, self._terminal.width))
        finally:
            self._over.set()
            drawer.join()
            self._show(self._frame() if lasting is None else lasting)
            sys.stderr.write(_SHOW_CURSOR)
            sys.stderr.flush()

    def _take(self, event: Event) -> None:
        if isinstance(event, StageChanged):
            self._model.change(event.stage, time.time())
        elif isinstance(event, Output):
            self._model.hear(event.line)
        elif isinstance(event, ConnectionLost | ConnectionBack):
            self._model.is_connected = isinstance(event, ConnectionBack)

    def _draw_on(self) -> None:
        drawn_at = 0.0
        while not self._over.wait(_QUICK_S):
            now = time.monotonic()
            if not self._is_dirty and now - drawn_at < _SLOW_S:
                continue
            with self._lock:
                self._is_dirty = False
                rows = self._frame()
            self._show(rows)
            drawn_at = now

    def _frame(self) -> list[Row]:
        size = shutil.get_terminal_size((80, 24))
        return frame(
            self._model,
            self._names,
            title=f"Run {self._run.id} {plain(self._run.name)}",
            columns=size.columns,
            lines=size.lines,
            now=time.time(),
        )

    def _show(self, rows: list[Row]) -> None:
        columns = shutil.get_terminal_size((80, 24)).columns
        # A terminal that has become narrower has broken the lines that were there.
        up = sum(max(1, -(-drawn // columns)) for drawn in self._drawn)
        text = [f"\x1b[{up}A\r" if up else "\r"]
        text += [f"{self._painted(row)}\x1b[K\n" for row in rows]
        text.append("\x1b[J")
        sys.stderr.write("".join(text))
        sys.stderr.flush()
        self._drawn = [columns_of(row.text) for row in rows]

    def _painted(self, row: Row) -> str:
        if not row.word:
            return row.text
        end = row.before + len(row.word)
        painted = self._terminal.paint(row.text[row.before : end], row.word, sys.stderr)
        return row.text[: row.before] + painted + row.text[end:]


def frame(
    model: RunModel, names: StageNames, *, title: str, columns: int, lines: int, now: float
) -> list[Row]:
    """Say what is on the screen, in at most `lines` - 1 lines: one for each stage where they fit, else the folded rest."""
    room = max(1, lines - 2)
    if len(model.stages) <= room:
        stages, folded = list(model.stages.values()), ""
    else:
        stages, folded = _chosen(model, room - 1), _folded(model)
    name_columns = _name_columns(stages, names, columns)
    spare = max(0, room - len(stages) - bool(folded))
    tail = min(_TAIL_MAX, spare // len(model.going)) if model.going else 0
    rows: list[Row] = []
    for stage in stages:
        rows.append(_stage_row(stage, names, name_columns=name_columns, columns=columns, now=now))
        for line in (
            islice(stage.tail, max(0, len(stage.tail) - tail), None) if stage.is_going and tail else ()
        ):
            text = output_text(line.text, color=False).expandtabs()
            rows.append(Row(fit(f"{'':{name_columns}}  | {text}", columns - 1)))
    if folded:
        rows.append(Row(fit(f"… and {folded}", columns - 1)))
    rows.append(Row(fit(_footer(model, title, now), columns - 1)))
    return rows


def lasting_rows(model: RunModel, names: StageNames, columns: int) -> Iterator[Row]:
    """Say what stays on the screen at the end: a line for each stage, of many for each group of generated ones."""
    stages = list(model.stages.values())
    name_columns = _name_columns(stages, names, columns)
    now = time.time()
    if len(stages) <= _LASTING_LINES_MAX:
        for stage in stages:
            yield _stage_row(stage, names, name_columns=name_columns, columns=columns, now=now)
        return
    groups = [(key, list(members)) for key, members in groupby(sorted(stages, key=_group_of), key=_group_of)]
    shown = groups if len(groups) <= _LASTING_LINES_MAX else []
    for key, members in shown:
        if len(members) == 1 or any(member.name in model.bad for member in members):
            for member in members if len(members) == 1 else [m for m in members if m.name in model.bad]:
                yield _stage_row(member, names, name_columns=name_columns, columns=columns, now=now)
        if len(members) > 1:
            counts = ", ".join(f"{number} {word}" for word, number in _counts(members))
            yield Row(
                fit(
                    f"{pad(fit_name(plain(names.seen(key)) + '@*', name_columns), name_columns)}  {counts}",
                    columns - 1,
                )
            )
    for bad in () if shown else model.bad.values():
        yield _stage_row(bad, names, name_columns=name_columns, columns=columns, now=now)
    if not shown:
        yield Row(fit(f"{len(stages)} stages: {', '.join(model.counted())}", columns - 1))


def _chosen(model: RunModel, room: int) -> list[WatchedStage]:
    """Those that matter most: failed ones, those that are going, and those that ended last."""
    chosen: dict[str, WatchedStage] = {}
    half = max(1, room // 2)
    for stage in (*islice(reversed(model.bad.values()), half), *islice(model.going.values(), room)):
        if len(chosen) < room:
            chosen[stage.name] = stage
    # What those that are going have written goes before what has ended, on half of the screen.
    each = min(_TAIL_MAX, room // 2 // len(model.going)) if model.going else 0
    kept = sum(min(each, len(stage.tail)) for stage in model.going.values()) and each * len(model.going)
    for stage in reversed(model.latest):
        if len(chosen) >= room - kept:
            break
        chosen.setdefault(stage.name, stage)
    # What has ended stands above what is going.
    return sorted(chosen.values(), key=lambda stage: (stage.is_going, stage.since))


def _folded(model: RunModel) -> str:
    return f"more of {len(model.stages)} stages: {', '.join(model.counted())}"


def _footer(model: RunModel, title: str, now: float) -> str:
    said = [
        title,
        f"{model.done()} of {len(model.stages)} done",
        duration_words(now - model.began, whole=True),
    ]
    if model.saved_s:
        said.append(f"saved {duration_words(model.saved_s)}")
    said.append("Ctrl-C detaches" if model.is_connected else "connection lost, retrying (the run goes on)")
    return " · ".join(said)


def _stage_row(stage: WatchedStage, names: StageNames, *, name_columns: int, columns: int, now: float) -> Row:
    words = plain(stage.words(now))
    name = pad(fit_name(plain(names.seen(stage.name)), name_columns), name_columns)
    text = fit(f"{name}  {words}", columns - 1)
    word = words.partition(" ")[0].rstrip(",")
    begins = len(name) + 2
    return Row(text, word if text[begins:].startswith(word) else "", begins)


def _name_columns(stages: Iterable[WatchedStage], names: StageNames, columns: int) -> int:
    longest = max((columns_of(plain(names.seen(stage.name))) for stage in stages), default=0)
    return min(longest, _NAME_COLUMNS_MAX, max(8, columns // 3))


def _group_of(stage: WatchedStage) -> str:
    return stage.name.partition("@")[0]


def _counts(stages: Iterable[WatchedStage]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for stage in stages:
        counts[stage.how] = counts.get(stage.how, 0) + 1
    return list(counts.items())
