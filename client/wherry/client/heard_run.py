"""A run as its events tell it: who has watched a run to its end need not ask for it again."""

from collections.abc import Iterable, Iterator

from wherry.client.watching import ENDED, Event, RunChanged, StageChanged
from wherry.v1.runs_pb2 import Run


class HeardRun:
    """Puts a run together from what is heard of it while others are told the same."""

    def __init__(self, run: Run) -> None:
        """Begin with the run as it was accepted, with its stages."""
        self._stages = {stage.name: stage for stage in run.stages}
        self._end: Run | None = None

    def listen(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass events on, and note what they say. They begin with the first of the run."""
        for event in events:
            if isinstance(event, StageChanged):
                self._stages[event.stage.name] = event.stage
            elif isinstance(event, RunChanged) and event.run.state in ENDED:
                self._end = event.run
            yield event

    def ended(self) -> Run | None:
        """The run at its end, with its stages as they ended; None: its end was not heard, or not all was known of it."""
        if self._end is None or not self._stages:
            return None
        ended = Run()
        ended.CopyFrom(self._end)
        ended.stages.extend(self._stages.values())
        return ended
