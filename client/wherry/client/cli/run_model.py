"""A watched run as it stands: what a screen shows of it. Every event costs the same, however many stages there are."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from wherry.client.cli.following import stage_words
from wherry.client.cli.units import duration_words
from wherry.client.documents import state_word
from wherry.client.watching import ENDED
from wherry.v1.runs_pb2 import (
    CACHE_USE_HIT,
    CACHE_USE_MERGED,
    LOG_STREAM_SYSTEM,
    STATE_FAILED,
    STATE_LOST,
    STATE_QUEUED,
    STATE_SKIPPED,
    STATE_SUCCEEDED,
    STATE_UNSPECIFIED,
    LogLine,
    Run,
    StageRecord,
)

_TAIL_LINES = 10
_LATEST = 200
_BAD = frozenset({STATE_FAILED, STATE_LOST})
# In the order in which they are counted out to people.
_COUNTED = ("cached", "ran", "failed", "lost", "cancelled", "skipped", "running", "waiting")


@dataclass(slots=True)
class WatchedStage:
    """A stage as it stands."""

    name: str
    record: StageRecord
    since: float
    """When it came into its state, in seconds of the clock that `words` is given."""
    tail: deque[LogLine] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))

    @property
    def how(self) -> str:
        """One word to count it by."""
        state = self.record.state
        if state == STATE_SUCCEEDED:
            return "cached" if self.record.cache in {CACHE_USE_HIT, CACHE_USE_MERGED} else "ran"
        if state in ENDED:
            return state_word(state)
        return "waiting" if state in {STATE_QUEUED, STATE_UNSPECIFIED} else "running"

    @property
    def is_going(self) -> bool:
        """Whether something is being done about it."""
        return self.how == "running"

    def words(self, now: float) -> str:
        """Say what is with it; of one that is going, how long."""
        said = stage_words(self.record, with_phase=True)
        if not self.is_going:
            return said or "waiting"
        return f"{said} {duration_words(max(0.0, now - self.since), whole=True)}"


class RunModel:
    """What has been heard of a run."""

    def __init__(self, run: Run, clock_now: float) -> None:
        """Begin with the run as it was accepted."""
        self.stages = {stage.name: WatchedStage(stage.name, stage, clock_now) for stage in run.stages}
        self.counts: Counter[str] = Counter(stage.how for stage in self.stages.values())
        self.going: dict[str, WatchedStage] = {
            stage.name: stage for stage in self.stages.values() if stage.is_going
        }
        self.bad: dict[str, WatchedStage] = {}
        self.latest: deque[WatchedStage] = deque(maxlen=_LATEST)
        """Those that ended last, the newest last."""
        self.saved_s = 0.0
        self.is_connected = True
        self.began = clock_now

    def change(self, record: StageRecord, now: float) -> None:
        """Take a stage's new state."""
        stage = self.stages.get(record.name)
        if stage is None:
            stage = self.stages[record.name] = WatchedStage(record.name, record, now)
        else:
            self.counts[stage.how] -= 1
        was = stage.record
        if was.state != record.state or was.phase != record.phase:
            # The service's moment, as far as the clocks agree; else when it was heard.
            stage.since = min(now, record.since.ToNanoseconds() / 1e9) if record.HasField("since") else now
        stage.record = record
        self.counts[stage.how] += 1
        if stage.is_going:
            self.going[record.name] = stage
        else:
            self.going.pop(record.name, None)
        if record.state in ENDED and was.state != record.state:
            self._end(stage)

    def hear(self, line: LogLine) -> None:
        """Take a line of output."""
        stage = self.stages.get(line.stage)
        if stage is not None and not (line.stream == LOG_STREAM_SYSTEM and stage.how == "cached"):
            stage.tail.append(line)

    def done(self) -> int:
        """Count the stages that have ended."""
        return len(self.stages) - self.counts["running"] - self.counts["waiting"]

    def counted(self) -> Iterator[str]:
        """Count out how the stages are."""
        return (f"{self.counts[word]} {word}" for word in _COUNTED if self.counts[word])

    def _end(self, stage: WatchedStage) -> None:
        if stage.record.state in _BAD:
            self.bad[stage.name] = stage
        if stage.record.state != STATE_SKIPPED:
            self.latest.append(stage)
        if stage.record.cache == CACHE_USE_HIT and stage.record.HasField("wall_s"):
            self.saved_s += stage.record.wall_s
        stage.tail.clear()
