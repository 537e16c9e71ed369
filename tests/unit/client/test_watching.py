"""Watching a run: the last output is told though the run has ended. Ctrl-C: test_interrupted_streams.py."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from wherry.client.connection import Connection
from wherry.client.errors import TimeLimitPassed
from wherry.client.watching import (
    Output,
    RunChanged,
    StageChanged,
    Watcher,
    _EventsEnded,
    _Item,
    _LogsEnded,
)
from wherry.v1.runs_pb2 import (
    STATE_RUNNING,
    STATE_SUCCEEDED,
    LogLine,
    Run,
    StageRecord,
    TailLogsResponse,
    WatchRunResponse,
)

_LINES = 41


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
            threading.Event().wait(0.05)
            yield TailLogsResponse(lines=[LogLine(sequence=number)], done=number == _LINES)

    def cancel(self) -> bool:
        return True


def test_output_is_told_to_its_end_though_that_takes_longer_than_a_silence_may() -> None:
    runs = SimpleNamespace(
        WatchRun=lambda _request, **_more: _Ended(), TailLogs=lambda _request, **_more: _Slow()
    )
    connection = SimpleNamespace(runs=runs, metadata=tuple)
    events = Watcher(cast("Connection", connection), "1", drain_s=2.0).events()
    assert [event.line.sequence for event in events if isinstance(event, Output)] == [*range(1, _LINES + 1)]


def test_output_that_has_come_is_told_before_its_stages_end_however_late_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wherry.client.watching._HOLD_S", 0.0)
    watcher = Watcher(cast("Connection", None), "1")
    end = StageChanged(StageRecord(name="train", state=STATE_SUCCEEDED))
    lines = [Output(LogLine(sequence=number, stage="train")) for number in (1, 2)]
    told: list[_Item] = [end, *lines, _LogsEnded(), _EventsEnded()]
    for item in told:
        watcher._items.put(item)

    assert list(watcher._merge(None)) == [*lines, end]


def test_when_time_is_over_nothing_more_is_told() -> None:
    watcher = Watcher(cast("Connection", None), "1")
    watcher._items.put(RunChanged(Run(id="1", state=STATE_RUNNING)))

    with pytest.raises(TimeLimitPassed):
        next(watcher._merge(time.monotonic()))
