"""What is known of a run, as plain values: the same for whoever waits for answers and whoever awaits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wherry.client.documents import (
    log_line_document,
    run_document,
    run_seconds,
    stage_document,
    state_word,
)
from wherry.client.watching import ENDED
from wherry.v1.runs_pb2 import STATE_SUCCEEDED, LogLine

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from wherry.v1.runs_pb2 import Run, StageRecord

_SHOWN_STAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of a run, as it was when it was asked for. All there is of it is in `Run.to_dict()`."""

    name: str
    """As DVC addresses it, from the DVC root: `train`, `train@0.1`, `sub/dvc.yaml:train`."""
    state: str
    """queued, preparing, running, succeeded, failed, cancelled, skipped or lost."""
    cache: str | None
    """hit, miss, bypass, not_cacheable or merged; None before that is known."""
    from_run: str | None
    """The run whose result is used."""
    wall_s: float | None
    exit_code: int | None
    reason: str | None
    """Why it failed, or was not run."""
    outs: Mapping[str, str | None]
    """The hash of each output, by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line that a stage wrote."""

    stage: str
    """Empty for what the service says of the run as a whole."""
    stream: str
    """stdout, stderr or system."""
    text: str
    time: datetime | None
    sequence: int

    def __str__(self) -> str:
        return self.text

    @classmethod
    def of(cls, line: LogLine) -> Line:
        """Read a line of the protocol."""
        said = log_line_document(line)
        return cls(
            stage=line.stage,
            stream=str(said["stream"]),
            text=str(said["text"]),
            time=_time(line.time) if line.HasField("time") else None,
            sequence=line.sequence,
        )


class RunFacts:
    """A run as it was heard of last."""

    def __init__(self, record: Run) -> None:
        """Take the protocol's message."""
        self._record = record

    def _hear(self, record: Run) -> None:
        """Take news of it. Answers may overtake each other, and nothing comes after the end: what is older is left."""
        if record.state in ENDED or not self.has_ended:
            self._record = record

    @property
    def record(self) -> Run:
        """The protocol's message, with everything the service tells of a run."""
        return self._record

    @property
    def id(self) -> str:
        """Unique on its service."""
        return self._record.id

    @property
    def name(self) -> str:
        """The name for people, unique within the project."""
        return self._record.name

    @property
    def project(self) -> str:
        """The project it belongs to."""
        return self._record.project

    @property
    def user(self) -> str:
        """Who submitted it."""
        return self._record.user

    @property
    def rev(self) -> str:
        """The git commit that was submitted; empty when there was none."""
        return self._record.rev

    @property
    def message(self) -> str:
        """What the submitter said of it."""
        return self._record.message

    @property
    def labels(self) -> dict[str, str]:
        """What the submitter sorts runs by."""
        return dict(self._record.labels)

    @property
    def state(self) -> str:
        """One of queued, preparing, running, succeeded, failed, cancelled, skipped, lost."""
        return state_word(self._record.state)

    @property
    def has_ended(self) -> bool:
        """Whether nothing changes any more."""
        return self._record.state in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether all of it did."""
        return self._record.state == STATE_SUCCEEDED

    @property
    def created_at(self) -> datetime:
        """When it was accepted, in UTC."""
        return _time(self._record.created_at)

    @property
    def wall_s(self) -> float | None:
        """Seconds from its start to its end; None before that."""
        return run_seconds(self._record)

    @property
    def saved_s(self) -> float:
        """Seconds that did not have to be computed again."""
        return self._record.saved_s

    @property
    def error(self) -> str | None:
        """Why it did not succeed, one sentence."""
        return self._record.error.message if self._record.HasField("error") else None

    def to_dict(self) -> dict[str, Any]:
        """Return what `wherry show --json` prints: wherry.run/1 (docs/schemas)."""
        return run_document(self._record)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r}: {self._words()}>"

    def _repr_html_(self) -> str:
        """Show it in a notebook: the run in a line, a row for each stage."""
        import html  # noqa: PLC0415 - only notebooks need it

        stages = self._record.stages
        rows = "".join(_row(_stage(stage)) for stage in stages[:_SHOWN_STAGES])
        more = len(stages) - _SHOWN_STAGES
        if more > 0:
            rows += f'<tr><td colspan="4">… and {more} more</td></tr>'
        head = "<tr><th>Stage</th><th>State</th><th>Cache</th><th>Seconds</th></tr>" if stages else ""
        title = html.escape(f"Run {self.id} {self.name}: {self._words()}")
        error = f"<p>{html.escape(self.error)}</p>" if self.error else ""
        return f"<div><b>{title}</b><table>{head}{rows}</table>{error}</div>"

    def _words(self) -> str:
        stages = self._record.stages
        if not stages:
            return self.state
        return f"{self.state}, {sum(stage.state in ENDED for stage in stages)} of {len(stages)} stages ended"

    def _stages(self) -> dict[str, Stage]:
        return {stage.name: _stage(stage) for stage in self._record.stages}


def _stage(stage: StageRecord) -> Stage:
    said: dict[str, Any] = stage_document(stage)
    outs = {out["path"]: out["md5"] for out in said["outs"]}
    chosen = ("name", "state", "cache", "from_run", "wall_s", "exit_code", "reason")
    return Stage(**{key: said[key] for key in chosen}, outs=outs)


def _row(stage: Stage) -> str:
    import html  # noqa: PLC0415 - as above

    seconds = "" if stage.wall_s is None else f"{stage.wall_s:.1f}"
    cells = (stage.name, stage.state, stage.cache or "", seconds)
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _time(moment: Timestamp) -> datetime:
    return moment.ToDatetime(tzinfo=UTC)
