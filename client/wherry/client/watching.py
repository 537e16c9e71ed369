"""Watching a run: two streams, events and output, each resumed by sequence number, told as one."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import grpc

from wherry.client.connection import Connection
from wherry.client.errors import ClientError, TimeLimitPassed, Unreachable
from wherry.client.handover import Handover
from wherry.client.streams import Stream
from wherry.client.tailing import BACKOFF_S, CALL_S, cut_short, lasted
from wherry.v1.runs_pb2 import (
    CACHE_USE_HIT,
    STATE_CANCELLED,
    STATE_FAILED,
    STATE_LOST,
    STATE_SKIPPED,
    STATE_SUCCEEDED,
    LogLine,
    Run,
    StageRecord,
    TailLogsRequest,
    WatchRunRequest,
    WatchRunResponse,
)

ENDED = frozenset({STATE_SUCCEEDED, STATE_FAILED, STATE_CANCELLED, STATE_SKIPPED, STATE_LOST})
"""States after which nothing changes."""

# The last lines of a stage come on another stream than its end: the end is held back until that is quiet.
_HOLD_S = 0.15
# A run that tells of a known result so often, and of nothing else until it has ended, is not asked for its output.
_ONLY_KNOWN_S = 0.3
# After the run's end lines may be on their way for as long as they come. So long a silence, in which a lost connection
# is found again, means that no more come.
_DRAIN_S = 20.0
# So many may wait for whoever watches; then no more are taken from the service for a moment.
_ITEMS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class RunChanged:
    """The run has a new state (without stages)."""

    run: Run


@dataclass(frozen=True, slots=True)
class StageChanged:
    """A stage has a new state."""

    stage: StageRecord


@dataclass(frozen=True, slots=True)
class Output:
    """A stage wrote a line."""

    line: LogLine


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """A stream broke; it is being tried again, and the run goes on."""


@dataclass(frozen=True, slots=True)
class ConnectionBack:
    """The stream goes on where it broke."""


Event = RunChanged | StageChanged | Output | ConnectionLost | ConnectionBack


@dataclass(frozen=True, slots=True)
class _EventsEnded:
    error: ClientError | None = None


@dataclass(frozen=True, slots=True)
class _LogsEnded:
    pass


_Item = Event | _EventsEnded | _LogsEnded
ItemT = TypeVar("ItemT")


class Watcher:
    """Watches one run. Iterate over events() once."""

    def __init__(
        self,
        connection: Connection,
        run: str,
        *,
        logs: bool = True,
        notes: bool = True,
        patience_s: float = 300.0,
        call_s: float = CALL_S,
        drain_s: float = _DRAIN_S,
    ) -> None:
        """Say which run, whether its output is wanted, and how long a lost connection is tried again.

        Without `notes` the output of a run may be missing in which there is none but what the service notes of known
        results, which their states say already. A call lasts `call_s` seconds; the next one goes on where it ended. Once the
        run has ended, output is waited for until none has come for `drain_s` seconds.
        """
        self._connection = connection
        self._run = run
        self._logs = logs
        self._output = _OutputExpected(at_once=notes)
        self._patience_s = patience_s
        self._call_s = call_s
        self._items: Handover[_Item] = Handover(_ITEMS_MAX)
        self._drain_s = drain_s
        self._output_ended = False
        self._calls: list[Stream[object]] = []
        self._state = _LinkState(self._items.put)

    def events(self, *, timeout: float | None = None) -> Iterator[Event]:
        """Tell what happens until the run has ended; `timeout` in seconds, None: for ever.

        Raises:
            TimeLimitPassed: when the time is over.
            Unknown: if there is no such run.
            Unreachable: if the connection stays lost.
        """
        threads = [threading.Thread(target=self._follow_events, daemon=True)]
        if self._logs:
            threads.append(threading.Thread(target=self._follow_logs, daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield from self._merge(time.monotonic() + timeout if timeout is not None else None)
        finally:
            self._items.close()
            for call in list(self._calls):
                call.cancel()

    def _merge(self, deadline: float | None) -> Iterator[Event]:
        held: list[Event] = []
        hold_until: float | None = None
        while True:
            item = self._next(deadline, hold_until)
            if item is None:
                yield from held
                held, hold_until = [], None
            elif isinstance(item, _EventsEnded):
                if item.error is None:
                    yield from self._last_output()
                yield from held
                if item.error is not None:
                    raise item.error
                return
            elif isinstance(item, StageChanged | RunChanged) and (held or self._is_to_be_held(item)):
                held.append(item)
                hold_until = hold_until or time.monotonic() + _HOLD_S
            elif isinstance(item, _LogsEnded):
                self._output_ended = True
            else:
                if held and not _is_output_of(item, held):
                    yield from held
                    held, hold_until = [], None
                yield item

    def _is_to_be_held(self, event: StageChanged | RunChanged) -> bool:
        return self._logs and isinstance(event, StageChanged) and _may_have_more_output(event.stage)

    def _last_output(self) -> Iterator[Event]:
        """After the run's end, the output that is still on its way."""
        while self._logs and not self._output_ended:
            try:
                item = self._items.get(timeout=self._drain_s)
            except queue.Empty:
                return
            if isinstance(item, _LogsEnded):
                self._output_ended = True
            if isinstance(item, Output):
                yield item

    def _next(self, deadline: float | None, hold_until: float | None) -> _Item | None:
        """Wait for the next item; None when it is time to tell what is held back."""
        now = time.monotonic()
        ends = [end for end in (deadline, hold_until) if end is not None]
        if deadline is None or now < deadline:
            # What has come already is heard first, however late whoever watches is: it may be what was waited for.
            with contextlib.suppress(queue.Empty):
                return self._items.get(timeout=max(0.0, min(ends) - now) if ends else None)
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeLimitPassed(
                "the time limit passed; the run goes on",
                hint=f"`wherry attach {self._run}` comes back, `wherry stop {self._run}` stops it",
            )
        return None

    def _follow_events(self) -> None:
        sequence = 0
        ended = False

        def attempt() -> bool:
            nonlocal sequence, ended
            request = WatchRunRequest(
                run=self._run, after_sequence=sequence, wait_s=self._call_s, in_batches=True
            )
            call = self._connection.runs.WatchRun(request, metadata=self._connection.metadata())
            for message in events_in(self._hear(call)):
                if message.sequence <= sequence:
                    continue
                sequence = message.sequence
                if message.WhichOneof("event") == "run":
                    self._output.hear_run(message.run)
                    self._items.put(RunChanged(message.run))
                    ended = message.run.state in ENDED
                else:
                    self._output.hear_stage(message.stage)
                    self._items.put(StageChanged(message.stage))
            return ended

        self._items.put(_EventsEnded(self._persist(attempt, "events")))

    def _follow_logs(self) -> None:
        sequence = 0

        def attempt() -> bool:
            nonlocal sequence
            request = TailLogsRequest(
                run=self._run, after_sequence=sequence, follow=True, wait_s=self._call_s
            )
            done = False
            call = self._connection.runs.TailLogs(request, metadata=self._connection.metadata())
            for message in self._hear(call):
                for line in message.lines:
                    if line.sequence > sequence:
                        sequence = line.sequence
                        self._items.put(Output(line))
                done = message.done
            return done

        # When output cannot be had, the events say what matters.
        if self._output.wait():
            self._persist(attempt, "logs")
        self._items.put(_LogsEnded())

    def _hear(self, call: Stream[ItemT]) -> Iterator[ItemT]:
        self._calls.append(call)
        try:
            for message in call:
                self._state.heard()
                yield message
        finally:
            self._calls.remove(call)

    def _persist(self, attempt: Callable[[], bool], stream: str) -> ClientError | None:
        """Attempt until it says that all was heard; None then, else what stands in the way."""
        while not self._items.is_closed():
            began = time.monotonic()
            try:
                if attempt():
                    self._state.mended(stream)
                    return None
                if lasted(began, self._call_s):
                    continue
                error: ClientError = cut_short()
            except grpc.RpcError as exc:
                error = self._connection.fault(exc)
            except ValueError:  # nobody watches any more, and the channel is closed
                if self._items.is_closed():
                    return None
                raise
            if not isinstance(error, Unreachable):
                return error
            wait = self._state.broke(stream)
            if self._state.broken_for() > self._patience_s:
                return error
            if self._items.is_closed_within(wait):
                return None
            self._connection.refresh()
        return None


def events_in(responses: Iterable[WatchRunResponse]) -> Iterator[WatchRunResponse]:
    """Take batches apart; a service that is older sends events one by one."""
    for response in responses:
        yield from response.batch or (response,)


class _OutputExpected:
    """Whether a run has output beside the notes of known results: a line for each, of which thousands say nothing new."""

    def __init__(self, *, at_once: bool) -> None:
        self._is_decided = threading.Event()
        self._is_expected = True
        self._quiet_since = time.monotonic()
        if at_once:
            self._is_decided.set()

    def hear_run(self, run: Run) -> None:
        """The run has a new state."""
        if run.state in ENDED and not self._is_decided.is_set():
            self._is_expected = run.state != STATE_SUCCEEDED
            self._is_decided.set()

    def hear_stage(self, stage: StageRecord) -> None:
        """A stage has a new state."""
        self._quiet_since = time.monotonic()
        if stage.cache != CACHE_USE_HIT:
            self._is_decided.set()

    def wait(self) -> bool:
        """Return when it is known. What may be written while no state changes is waited for only a moment."""
        while (left := self._quiet_since + _ONLY_KNOWN_S - time.monotonic()) > 0:
            if self._is_decided.wait(left):
                break
        return self._is_expected


class _LinkState:
    """Whether the connection is lost, told once for both streams."""

    def __init__(self, tell: Callable[[_Item], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._tries: dict[str, int] = {}
        self._since: float | None = None

    def broke(self, stream: str) -> float:
        """Note it; say how many seconds to wait before the next try."""
        with self._lock:
            tries = self._tries.get(stream, 0)
            self._tries[stream] = tries + 1
            first = self._since is None
            if first:
                self._since = time.monotonic()
        if first:
            self._tell(ConnectionLost())
        return BACKOFF_S[min(tries, len(BACKOFF_S) - 1)]

    def heard(self) -> None:
        """Something came: the connection is there."""
        with self._lock:
            back = self._since is not None
            self._since = None
            self._tries.clear()
        if back:
            self._tell(ConnectionBack())

    def mended(self, stream: str) -> None:
        """A stream ended well without having anything new to say."""
        with self._lock:
            self._tries.pop(stream, None)

    def broken_for(self) -> float:
        """Seconds since the connection was lost; 0 when it is there."""
        with self._lock:
            return 0.0 if self._since is None else time.monotonic() - self._since


def _is_output_of(item: Event, held: list[Event]) -> bool:
    """Whether a line is of a stage whose end is held back; anything else need not wait for it."""
    ended = {event.stage.name for event in held if isinstance(event, StageChanged)}
    return isinstance(item, Output) and item.line.stage in ended


def _may_have_more_output(stage: StageRecord) -> bool:
    return stage.state in ENDED and stage.cache != CACHE_USE_HIT and stage.state != STATE_SKIPPED
