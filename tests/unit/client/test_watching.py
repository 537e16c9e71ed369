"""Watching a run: Ctrl-C ends it at whatever instant it comes, and the last output is told though the run has ended."""

import itertools
import sys
import threading
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any, cast

from wherry.client.connection import Connection
from wherry.client.watching import Event, Output, RunChanged, Watcher
from wherry.v1.runs_pb2 import (
    STATE_RUNNING,
    STATE_SUCCEEDED,
    LogLine,
    Run,
    TailLogsResponse,
    WatchRunResponse,
)


class _Silent:
    """A stream that says something, after a while something else, and then nothing until it is cancelled."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def __iter__(self) -> Iterator[WatchRunResponse]:
        yield WatchRunResponse(sequence=1, run=Run(id="1", state=STATE_RUNNING))
        self._over.wait(0.1)
        yield WatchRunResponse(sequence=2, run=Run(id="1", state=STATE_RUNNING))
        self._over.wait(60)

    def cancel(self) -> bool:
        self._over.set()
        return True


class _InterruptAt:
    """Raises KeyboardInterrupt in this thread's Python code, at a step of waiting that is counted from now on."""

    def __init__(self, step: int) -> None:
        self._left = step
        self._has_ended = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> "_InterruptAt":
        # The end of waiting, whatever it came from.
        self._has_ended = self._has_ended or frame.f_code is threading.Event.set.__code__
        self._left -= not self._has_ended
        if self._left == 0 and not self._has_ended:
            raise KeyboardInterrupt
        return self


def _watch() -> Iterator[Event]:
    runs = SimpleNamespace(WatchRun=lambda _request, **_more: _Silent())
    connection = SimpleNamespace(runs=runs, metadata=tuple)
    return Watcher(cast("Connection", connection), "1", logs=False).events()


def _is_interrupted(events: Iterator[Event], step: int) -> bool:
    before: Any = sys.gettrace()
    sys.settrace(_InterruptAt(step))
    try:
        next(events)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_ctrl_c_is_ctrl_c_at_every_step_of_waiting() -> None:
    """Where the standard library's Queue waits, it would come out as an error of a lock."""
    for step in itertools.count(1):
        events = _watch()
        assert isinstance(next(events), RunChanged)
        if not _is_interrupted(events, step):
            break
    assert step > 3


_LINES = 8


class _Ended:
    """The events of a run that has ended."""

    def __iter__(self) -> Iterator[WatchRunResponse]:
        yield WatchRunResponse(sequence=1, run=Run(id="1", state=STATE_SUCCEEDED))

    def cancel(self) -> bool:
        return True


class _Slow:
    """Lines that all come, one after the other."""

    def __iter__(self) -> Iterator[TailLogsResponse]:
        for number in range(1, _LINES + 1):
            threading.Event().wait(0.2)
            yield TailLogsResponse(lines=[LogLine(sequence=number)], done=number == _LINES)

    def cancel(self) -> bool:
        return True


def test_output_is_told_to_its_end_though_that_takes_longer_than_a_silence_may() -> None:
    runs = SimpleNamespace(
        WatchRun=lambda _request, **_more: _Ended(), TailLogs=lambda _request, **_more: _Slow()
    )
    connection = SimpleNamespace(runs=runs, metadata=tuple)
    events = Watcher(cast("Connection", connection), "1", drain_s=1.0).events()
    assert [event.line.sequence for event in events if isinstance(event, Output)] == [*range(1, _LINES + 1)]
