"""The newest events of runs that go on, for those who follow them: news need not be read back from the database."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from wherry.service.domain.run import Event
from wherry.service.domain.task import RunId

# Followers that fall behind further than this read the database. Of a run of known results everything comes at once.
_EVENTS_MAX = 2048

# Of all runs: what is told of one takes one or two thousand bytes.
_ALL_EVENTS_MAX = 4 * _EVENTS_MAX

# Runs whose events are kept; the others' are read from the database.
_RUNS_MAX = 64


@dataclass(slots=True)
class _Tail:
    """Events one after the other, without a gap."""

    newest: int
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=_EVENTS_MAX))


class EventTails:
    """What this process has appended to the events of runs, each at its end. Only for databases that nobody else writes to."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._tails: OrderedDict[RunId, _Tail] = OrderedDict()

    def add(self, run_id: RunId, events: Sequence[Event]) -> None:
        """Take in events that are kept now, in the order of their numbers."""
        if not events:
            return
        tail = self._tails.get(run_id)
        if tail is None or events[0].sequence != tail.newest + 1:
            # Told out of turn: what is certain are these, if they are the newest at all.
            newest = 0 if tail is None else tail.newest
            tail = self._tails[run_id] = _Tail(max(newest, events[-1].sequence))
            if tail.newest != events[-1].sequence:
                return
        tail.events.extend(events)
        tail.newest = events[-1].sequence
        self._tails.move_to_end(run_id)
        while len(self._tails) > _RUNS_MAX or self._count() > _ALL_EVENTS_MAX:
            self._tails.popitem(last=False)

    def has_after(self, run_id: RunId, sequence: int) -> bool | None:
        """Whether there is an event after this one; None: that is not known here."""
        tail = self._tails.get(run_id)
        return None if tail is None else tail.newest > sequence

    def read_after(self, run_id: RunId, sequence: int, limit: int) -> Sequence[Event] | None:
        """Events after this one, oldest first; None: not all of them are here."""
        tail = self._tails.get(run_id)
        if tail is None:
            return None
        if sequence >= tail.newest:
            return ()
        if not tail.events or tail.events[0].sequence > sequence + 1:
            return None
        first = sequence + 1 - tail.events[0].sequence
        return [tail.events[at] for at in range(max(0, first), min(len(tail.events), first + limit))]

    def _count(self) -> int:
        return sum(len(tail.events) for tail in self._tails.values())

    def __len__(self) -> int:
        """Count the runs of which something is kept."""
        return len(self._tails)
