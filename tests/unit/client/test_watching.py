"""Watching a run: the last output is told though the run has ended. Ctrl-C: test_interrupted_streams.py."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

from wherry.client.connection import Connection
from wherry.client.watching import Output, Watcher
from wherry.v1.runs_pb2 import (
    STATE_SUCCEEDED,
    LogLine,
    Run,
    TailLogsResponse,
    WatchRunResponse,
)

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
