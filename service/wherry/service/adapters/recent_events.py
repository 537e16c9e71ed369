"""The newest events of runs as they were written: who follows a run is told without reading them back."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wherry.service.domain.run import Event, Run, StageRecord
from wherry.service.domain.task import RunId

# Of all runs together. A record of a stage takes one or two thousand bytes.
_EVENTS_MAX = 4096


@dataclass(slots=True)
class _OfRun:
    first: int
    events: list[Event] = field(default_factory=list)

    @property
    def next(self) -> int:
        return self.first + len(self.events)


class RecentEvents:
    """Events that are committed, without gap from some number on. They never change, so nothing here gets old."""

    def __init__(self, events_max: int = _EVENTS_MAX) -> None:
        """Remember at most `events_max` events."""
        self._events_max = events_max
        self._count = 0
        self._runs: OrderedDict[RunId, _OfRun] = OrderedDict()

    def keep(self, run_id: RunId, first: int, abouts: Sequence[Run | StageRecord]) -> None:
        """Remember what was committed under the numbers from `first` on."""
        known = self._runs.get(run_id)
        if known is not None and first < known.next:
            return  # several connections may tell of their commits in another order
        if known is None or first > known.next:
            self._forget(run_id)
            known = self._runs[run_id] = _OfRun(first)
        known.events.extend(Event(sequence=at, about=_told(about)) for at, about in enumerate(abouts, first))
        self._count += len(abouts)
        self._runs.move_to_end(run_id)
        while self._count > self._events_max:
            self._forget(next(iter(self._runs)))

    def after(self, run_id: RunId, sequence: int, limit: int) -> Sequence[Event]:
        """Events that come next after a number, at most `limit`; none: they are not remembered, or there are none yet."""
        known = self._runs.get(run_id)
        if known is None or sequence + 1 < known.first:
            return ()
        start = sequence + 1 - known.first
        return known.events[start : start + limit]

    def _forget(self, run_id: RunId) -> None:
        known = self._runs.pop(run_id, None)
        if known is not None:
            self._count -= len(known.events)


def _told(about: Run | StageRecord) -> Run | StageRecord:
    """As it is read back: of a run an event has what people are told, and not its stages."""
    return replace(about, stages={}, snapshot="", stop_requested=False) if isinstance(about, Run) else about
