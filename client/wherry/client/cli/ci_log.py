"""The watched run in the log of GitHub Actions or GitLab CI: what each stage wrote, folded, once it has ended.

The output of a stage is a stranger's text. GitHub takes lines that begin with "::" for commands; between a stop and its
secret word it does not. GitLab's sections are terminal escapes, which never pass.
"""

import os
import secrets
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from wherry.client.cli.following import stage_words
from wherry.client.cli.terminal import Terminal, output_text, plain
from wherry.client.stage_names import StageNames
from wherry.client.watching import ENDED, ConnectionBack, ConnectionLost, Event, Output, StageChanged
from wherry.v1.runs_pb2 import (
    CACHE_USE_HIT,
    STATE_FAILED,
    STATE_LOST,
    STATE_QUEUED,
    STATE_RUNNING,
    STATE_SKIPPED,
    LogLine,
    Run,
    StageRecord,
)

Kind = Literal["", "github", "gitlab"]

# Of a longer output the end is shown; `wherry logs` has all.
_LINES_MAX = 2_000


def ci_kind(environ: Mapping[str, str] = os.environ) -> Kind:
    """Say in whose job we run."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return "github"
    return "gitlab" if environ.get("GITLAB_CI") == "true" else ""


class CiFollower:
    """Prints the events of one run to stderr: a line when a stage begins, its output in a fold when it has ended."""

    def __init__(self, terminal: Terminal, run: Run, names: StageNames, kind: Kind) -> None:
        """Take where to print, the run, how its stages are called here, and whose log it is."""
        self._terminal = terminal
        self._run = run
        self._names = names
        self._kind = kind
        self._lines: dict[str, deque[LogLine]] = {}
        self._heard: dict[str, int] = {}
        self._told: dict[str, int] = {}

    def follow(self, events: Iterable[Event]) -> None:
        """Print until the run has ended."""
        for event in events:
            if isinstance(event, StageChanged):
                self._tell(event.stage)
            elif isinstance(event, Output):
                lines = self._lines.setdefault(event.line.stage, deque(maxlen=_LINES_MAX))
                lines.append(event.line)
                self._heard[event.line.stage] = self._heard.get(event.line.stage, 0) + 1
            elif isinstance(event, ConnectionLost):
                self._terminal.note("connection lost, retrying (the run goes on)")
            elif isinstance(event, ConnectionBack):
                self._terminal.note("connected again")

    def _tell(self, stage: StageRecord) -> None:
        if self._told.get(stage.name) == stage.state or stage.state == STATE_QUEUED:
            return
        self._told[stage.name] = stage.state
        if stage.state == STATE_RUNNING:
            self._terminal.note(f"{self._name(stage.name)}  running")
        elif stage.state in ENDED:
            title = f"{self._name(stage.name)}  {stage_words(stage)}"
            lines = self._lines.pop(stage.name, deque())
            if lines and stage.cache != CACHE_USE_HIT and stage.state != STATE_SKIPPED:
                self._fold(title, stage, lines)
            else:
                self._terminal.note(title)

    def _fold(self, title: str, stage: StageRecord, lines: deque[LogLine]) -> None:
        # What failed is what people have come for.
        is_open = stage.state in {STATE_FAILED, STATE_LOST}
        left_out = self._heard[stage.name] - len(lines)
        begin, end = _marks(self._kind, title, is_open=is_open)
        text = [begin]
        if left_out:
            text.append(
                f"… {left_out} lines before this: wherry logs {self._run.id} {self._name(stage.name)}"
            )
        text += [output_text(line.text, color=self._terminal.colors(sys.stderr)) for line in lines]
        self._terminal.note("\n".join([*text, end]))

    def _name(self, name: str) -> str:
        return plain(self._names.seen(name) or "run")


def _marks(kind: Kind, title: str, *, is_open: bool) -> tuple[str, str]:
    """Return what stands before a fold and behind it."""
    if kind == "gitlab":
        name, now = f"wherry_{secrets.token_hex(4)}", int(time.time())
        collapsed = "" if is_open else "[collapsed=true]"
        begin = f"\x1b[0Ksection_start:{now}:{name}{collapsed}\r\x1b[0K{title}"
        return begin, f"\x1b[0Ksection_end:{now}:{name}\r\x1b[0K"
    word = secrets.token_hex(16)
    begin, end = (title, "") if is_open else (f"::group::{title}", "::endgroup::\n")
    return f"{begin}\n::stop-commands::{word}", f"::{word}::\n{end}".rstrip("\n")


def annotations(run: Run, places: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """Yield a line for each stage that failed, for GitHub to show at the stage in dvc.yaml.

    `places` has the file, from the top of the repository, and the line of each stage.
    """
    for stage in run.stages:
        if stage.state not in {STATE_FAILED, STATE_LOST}:
            continue
        path, line = places.get(stage.name, ("dvc.yaml", 0))
        properties = [f"file={_property(path)}", *([f"line={line}"] if line else [])]
        properties.append(f"title={_property(f'stage {plain(stage.name)}')}")
        yield f"::error {','.join(properties)}::{_data(plain(stage_words(stage)))}"


def _data(text: str) -> str:
    """Escape as GitHub's workflow commands want it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
