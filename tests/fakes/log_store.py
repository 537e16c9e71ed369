"""Output of runs in lists."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence

from wherry.service.domain.task import RunId
from wherry.service.ports.logs import LogLine, LogStore, NewLine


class FakeLogStore(LogStore):
    """`lines` may be looked at by tests."""

    def __init__(self) -> None:
        self.lines: defaultdict[RunId, list[NewLine]] = defaultdict(list)
        self._grown: defaultdict[RunId, asyncio.Event] = defaultdict(asyncio.Event)

    async def append(self, run_id: RunId, lines: Sequence[NewLine]) -> None:
        self.lines[run_id] += lines
        self._grown.pop(run_id, asyncio.Event()).set()

    async def read_after(
        self, run_id: RunId, sequence: int, *, stage: str | None, limit: int
    ) -> Sequence[LogLine]:
        numbered = list(enumerate(self.lines[run_id], 1))[max(sequence, 0) :]
        return [LogLine(sequence=at, line=line) for at, line in numbered if stage in {None, line.stage}][
            :limit
        ]

    async def last_sequence(self, run_id: RunId) -> int:
        return len(self.lines[run_id])

    async def was_cleared(self, run_id: RunId) -> bool:
        return False

    async def wait_for_lines(self, run_id: RunId, sequence: int, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(self.lines[run_id]) <= sequence:
                    await self._grown[run_id].wait()
