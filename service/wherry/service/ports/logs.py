"""Output of stages, kept by run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from wherry.service.domain.task import RunId


class LogStream(StrEnum):
    """Where a line was written."""

    STDOUT = "stdout"
    STDERR = "stderr"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLine:
    """A line to be kept."""

    time: datetime
    stage: str
    """Empty when it is about the run."""
    stream: LogStream
    text: bytes
    """Without its end; any bytes but a line feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line that is kept."""

    sequence: int
    """From 1, without gap within a run."""
    line: NewLine


class LogStore(Protocol):
    """Lines of runs, append-only."""

    async def append(self, run_id: RunId, lines: Sequence[NewLine]) -> None:
        """Keep lines in this order, numbered on. Concurrent calls do not interleave."""
        ...

    async def read_after(
        self, run_id: RunId, sequence: int, *, stage: str | None, limit: int
    ) -> Sequence[LogLine]:
        """Lines after `sequence`, oldest first; of one stage, if given. An unknown run has none."""
        ...

    async def last_sequence(self, run_id: RunId) -> int:
        """Number of the newest line, 0 when there is none."""
        ...

    async def wait_for_lines(self, run_id: RunId, sequence: int, timeout_s: float) -> None:
        """Return once a line after `sequence` exists, or when time is up."""
        ...

    async def was_cleared(self, run_id: RunId) -> bool:
        """Whether there were lines that have been cleared away, and none since."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLog:
    """What the lines of a run take."""

    run_id: RunId
    size_bytes: int
    written_at: datetime
    """When the newest line was kept."""


class ClearableLogs(Protocol):
    """Lines of runs, seen by whoever makes room. Every method may raise Unavailable."""

    async def list_kept(self) -> Sequence[KeptLog]:
        """The logs of all runs that have lines."""
        ...

    async def clear(self, run_id: RunId) -> bool:
        """Remove the lines of a run, unless somebody is at them; say whether they are gone."""
        ...
