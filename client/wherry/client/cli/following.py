"""The watched run, line by line: plain text that reads the same on a terminal and in a CI log."""

import sys
from collections import Counter, deque
from collections.abc import Iterable

from wherry.client.cli.terminal import Terminal, output_text, plain
from wherry.client.cli.units import duration_words, size_words
from wherry.client.client import Client
from wherry.client.documents import run_seconds, state_word
from wherry.client.errors import ClientError
from wherry.client.stage_names import StageNames
from wherry.client.watching import ConnectionBack, ConnectionLost, Event, Output, StageChanged
from wherry.v1.pipelines_pb2 import HIT_SOURCE_DVC_LOCK, HIT_SOURCE_DVC_RUN_CACHE
from wherry.v1.runs_pb2 import (
    CACHE_USE_HIT,
    CACHE_USE_MERGED,
    LOG_STREAM_SYSTEM,
    PHASE_COLLECTING,
    PHASE_PUBLISHING,
    STATE_CANCELLED,
    STATE_FAILED,
    STATE_LOST,
    STATE_PREPARING,
    STATE_QUEUED,
    STATE_RUNNING,
    STATE_SKIPPED,
    STATE_SUCCEEDED,
    EndedAttempt,
    LogLine,
    Phase,
    Run,
    StageRecord,
    State,
)

_FAULTS_OF_STAGES = frozenset({"STAGE_FAILED", "STAGE_LOST"})
_FOREIGN = {
    HIT_SOURCE_DVC_LOCK: "as dvc.lock records it",
    HIT_SOURCE_DVC_RUN_CACHE: "from DVC's run cache (run_cache.trust_dvc)",
}
_PHASE_WORDS: dict[Phase.ValueType, str] = {
    PHASE_COLLECTING: "collecting outputs",
    PHASE_PUBLISHING: "storing outputs",
}
_LAST_LINES = 20
_NAME_COLUMNS_MAX = 24


class RunFollower:
    """Prints the events of one run to stderr."""

    def __init__(self, terminal: Terminal, run: Run, names: StageNames) -> None:
        """Take where to print, the run as it was accepted, and how its stages are called here."""
        self._terminal = terminal
        self._names = names
        lengths = (len(names.seen(stage.name)) for stage in run.stages)
        self._column = min(_NAME_COLUMNS_MAX, max(lengths, default=10))
        self._last: dict[str, str] = {}
        self._cached: dict[str, bool] = {}
        self._early: dict[str, list[LogLine]] = {}

    def follow(self, events: Iterable[Event]) -> None:
        """Print until the run has ended."""
        for event in events:
            if isinstance(event, StageChanged):
                self._tell_stage(event.stage)
            elif isinstance(event, Output):
                self._tell_output(event.line)
            elif isinstance(event, ConnectionLost):
                self._terminal.note("connection lost, retrying (the run goes on)")
            elif isinstance(event, ConnectionBack):
                self._terminal.note("connected again")
        # A stage that never began to do anything may have a note that says why.
        for name in list(self._early):
            self._cached[name] = False
            for line in self._early.pop(name):
                self._tell_output(line)

    def _tell_stage(self, stage: StageRecord) -> None:
        text = stage_words(stage)
        # One event is one change of anything; a line is for a change that people see.
        if text and self._last.get(stage.name) != text:
            self._last[stage.name] = text
            word = text.split(" ", 1)[0]
            painted = self._terminal.paint(word, word, sys.stderr) + text[len(word) :]
            self._terminal.note(f"{self._name(stage.name)}  {painted}")
        if text:
            self._cached[stage.name] = stage.cache == CACHE_USE_HIT
            for line in self._early.pop(stage.name, []):
                self._tell_output(line)

    def _tell_output(self, line: LogLine) -> None:
        if line.stream == LOG_STREAM_SYSTEM and line.stage:
            # What the service notes of a cached stage, its state says already. The two come on different
            # streams: a note that is ahead of the state waits for it.
            if line.stage not in self._cached:
                self._early.setdefault(line.stage, []).append(line)
                return
            if self._cached[line.stage]:
                return
        text = output_text(line.text, color=self._terminal.colors(sys.stderr))
        self._terminal.note(f"{self._name(line.stage)}  | {text}")

    def _name(self, name: str) -> str:
        return plain(self._names.seen(name) or "run").ljust(self._column)


def stage_words(stage: StageRecord, *, with_phase: bool = False) -> str:
    """Say what is with a stage, `with_phase` also what is done after its command; empty while there is nothing to say."""
    if stage.state == STATE_SUCCEEDED:
        return _success_words(stage)
    took = f" after {duration_words(stage.wall_s)}" if stage.HasField("wall_s") else ""
    reason = f": {plain(stage.reason)}" if stage.reason else ""
    words: dict[State.ValueType, str] = {
        STATE_QUEUED: plain(stage.reason),
        STATE_PREPARING: "preparing",
        STATE_RUNNING: (_PHASE_WORDS.get(stage.phase, "running") if with_phase else "running")
        + (f" (attempt {stage.attempt})" if stage.attempt > 1 else ""),
        STATE_FAILED: f"failed{took}{reason}",
        STATE_CANCELLED: f"cancelled{took}",
        STATE_SKIPPED: f"skipped{reason}",
        STATE_LOST: f"lost{took}{reason}",
    }
    return words.get(stage.state, state_word(stage.state))


def usage_words(attempt: StageRecord | EndedAttempt) -> tuple[str, str, str, str]:
    """Say what was used of the machine: processors, memory, read, written; "-" where that was not counted."""
    used = attempt.usage
    return (
        duration_words(used.cpu_s) if used.HasField("cpu_s") else "-",
        size_words(used.peak_memory_bytes) if used.HasField("peak_memory_bytes") else "-",
        size_words(used.read_bytes) if used.HasField("read_bytes") else "-",
        size_words(used.written_bytes) if used.HasField("written_bytes") else "-",
    )


def _success_words(stage: StageRecord) -> str:
    whose = f" by {plain(stage.from_user)}" if stage.from_user else ""
    if stage.cache == CACHE_USE_HIT:
        if stage.source in _FOREIGN:
            return f"cached, {_FOREIGN[stage.source]}"
        run = f" from run {plain(stage.from_run)}" if stage.from_run else ""
        saved = f", saved {duration_words(stage.wall_s)}" if stage.HasField("wall_s") else ""
        return f"cached{run}{whose}{saved}"
    took = f" in {duration_words(stage.wall_s)}" if stage.HasField("wall_s") else ""
    if stage.cache == CACHE_USE_MERGED:
        return f"succeeded{took}, computed by run {plain(stage.from_run)}{whose}"
    return f"succeeded{took}"


def submitted_line(run: Run, *, width: int) -> str:
    """Announce a run, and how to leave it and come back; on two lines when one is too narrow."""
    count = len(run.stages)
    stages = f": {count} stage{'' if count == 1 else 's'}" if count else ""
    head = f"Run {run.id} {plain(run.name)} submitted{stages}"
    tail = f"Ctrl-C detaches, `wherry attach {run.id}` comes back, `wherry stop {run.id}` stops"
    return f"{head} · {tail}" if len(head) + len(tail) + 3 <= width else f"{head}\n{tail}"


def detached_line(run: Run) -> str:
    """Say that the run goes on, and how to come back."""
    return f"Detached; run {run.id} goes on. `wherry attach {run.id}` comes back, `wherry stop {run.id}` stops it."


def summary_line(run: Run) -> str:
    """Say in one line how a run ended."""
    counts = Counter(_how(stage) for stage in run.stages)
    parts = [f"{counts[word]} {word}" for word in _SUMMARY_WORDS if counts[word]]
    seconds = run_seconds(run)
    joiner = "in" if run.state == STATE_SUCCEEDED else "after"
    took = f" {joiner} {duration_words(seconds)}" if seconds is not None else ""
    saved = f" Saved {duration_words(run.saved_s)}." if run.saved_s > 0 else ""
    listed = f": {', '.join(parts)}" if parts else ""
    return f"Run {run.id} {state_word(run.state)}{took}{listed}.{saved}"


_SUMMARY_WORDS = ("cached", "ran", "failed", "lost", "cancelled", "skipped")


def _how(stage: StageRecord) -> str:
    if stage.state == STATE_SUCCEEDED:
        return "cached" if stage.cache in {CACHE_USE_HIT, CACHE_USE_MERGED} else "ran"
    return state_word(stage.state)


def tell_failures(terminal: Terminal, client: Client, run: Run, *, with_logs: bool) -> None:
    """Say why a run failed: each failed stage, with the end of its output unless that was shown.

    What ended the run from outside (a service that was stopped, a bug of it) is told once, not for each stage.
    """
    if run.error.reason not in _FAULTS_OF_STAGES:
        print(f"error: {plain(run.error.message)}", file=sys.stderr)
        if run.error.hint:
            print(f"  hint: {plain(run.error.hint)}", file=sys.stderr)
        return
    names = client.stage_names(run)
    for stage in run.stages:
        if stage.state not in {STATE_FAILED, STATE_LOST}:
            continue
        name = plain(names.seen(stage.name))
        print(f"error: stage {name!r} {stage_words(stage)}", file=sys.stderr)
        if with_logs:
            try:
                lines = deque(client.logs(run.id, stage=stage.name), maxlen=_LAST_LINES)
            except ClientError:  # the failure itself matters more than its log
                lines = deque()
            for line in lines:
                text = output_text(line.text, color=terminal.colors(sys.stderr))
                print(f"  | {text}", file=sys.stderr)
        print(f"  hint: all of its output: `wherry logs {run.id} {name}`", file=sys.stderr)
