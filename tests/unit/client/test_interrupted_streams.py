"""Reading from a service as it speaks: Ctrl-C ends it at whatever instant it comes."""

import contextlib
import gc
import itertools
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from wherry.client.address import Endpoint
from wherry.client.connection import Connection
from wherry.client.tailing import tail_logs
from wherry.client.watching import Watcher
from wherry.v1.blobs_pb2 import CheckBlobsRequest, CheckBlobsResponse
from wherry.v1.runs_pb2 import STATE_RUNNING, LogLine, Run, TailLogsResponse, WatchRunResponse


class _Silent:
    """A stream that says something, after a while something else, and then nothing until it is cancelled."""

    def __init__(self, *said: object) -> None:
        self._said = said
        self._over = threading.Event()

    def __iter__(self) -> Iterator[object]:
        for message in self._said:
            yield message
            self._over.wait(0.1)
        self._over.wait(60)

    @property
    def is_cancelled(self) -> bool:
        return self._over.is_set()

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


class _Silence(Connection):
    """A connection to a service that has little to say."""

    def __init__(self) -> None:
        super().__init__(lambda: Endpoint(target="127.0.0.1:9", secure=False), user="u")
        self.calls: list[_Silent] = []

    def answer(self, *messages: object) -> Callable[..., Any]:
        """Make a method of a service."""

        def call(_request: object, **_more: object) -> _Silent:
            self.calls.append(_Silent(*messages))
            return self.calls[-1]

        return call

    @property
    def runs(self) -> Any:
        states = (WatchRunResponse(sequence=n, run=Run(id="1", state=STATE_RUNNING)) for n in (1, 2))
        lines = (TailLogsResponse(lines=[LogLine(sequence=n, text=b"said")]) for n in (1, 2))
        return SimpleNamespace(WatchRun=self.answer(*states), TailLogs=self.answer(*lines))


def _watch(connection: _Silence) -> Iterator[object]:
    return Watcher(connection, "1", logs=False).events()


def _logs(connection: _Silence) -> Iterator[object]:
    return tail_logs(connection, "1", follow=True)


def _check(connection: _Silence) -> Iterator[object]:
    said = connection.answer(CheckBlobsResponse(), CheckBlobsResponse())
    return connection.stream(said, CheckBlobsRequest())  # type: ignore[arg-type]  # it stands for gRPC's method


def _is_interrupted(said: Iterator[object], step: int) -> bool:
    before: Any = sys.gettrace()
    # What a collection of garbage happens to run is no step of waiting.
    gc.disable()
    sys.settrace(_InterruptAt(step))
    try:
        next(said)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
        gc.enable()
    return False


_READ = pytest.mark.parametrize("read", [_watch, _logs, _check])


@_READ
def test_ctrl_c_is_ctrl_c_at_every_step_of_waiting(read: Callable[[_Silence], Iterator[object]]) -> None:
    """Where the standard library's Queue waits, or gRPC's stream, it would come out as an error of a lock."""
    for step in itertools.count(1):
        with contextlib.closing(_Silence()) as connection:
            said = read(connection)
            next(said)
            if not _is_interrupted(said, step):
                break
    assert step > 3


@_READ
def test_who_stops_reading_breaks_the_call_off(read: Callable[[_Silence], Iterator[object]]) -> None:
    with contextlib.closing(_Silence()) as connection:
        said = read(connection)
        next(said)
        assert isinstance(said, Generator)
        said.close()
        assert [call.is_cancelled for call in connection.calls] == [True]
