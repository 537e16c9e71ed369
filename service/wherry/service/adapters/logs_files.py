"""Output of stages in files: the LogStore port.

One append-only file a run, `<root>/<run>.jsonl`; one JSON object a line, so the number of a line is its
sequence number. What a crash of the service cut off in the middle of a write is removed when the file is first
used again. Of a log that was cleared away an empty file stays, by which that is known. Not here: compression.
Lines are not forced to disk: a loss of power can take the last seconds of output, nothing else stands on them.
"""

import asyncio
import contextlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from wherry.service.adapters.log_lines_json import decode_line, encode_line
from wherry.service.adapters.shared_reads import SharedReads
from wherry.service.domain.errors import RunUnknown, Unavailable
from wherry.service.domain.task import RunId
from wherry.service.ports.logs import ClearableLogs, KeptLog, LogLine, LogStore, NewLine

_T = TypeVar("_T")

_RUN = re.compile(r"[0-9A-Za-z_-]{1,64}")

# The place of each so-many-th line is remembered: 16 bytes each, and a read skips at most so many lines.
_INDEX_STEP = 1024
# Places where readers stopped, by run: a reader that follows goes on there.
_PLACES_MAX = 64
# Runs whose places are remembered.
_RUNS_MAX = 256
_READ_BYTES = 256 * 1024


@dataclass(slots=True)
class _Log:
    """What is known of one run's file. Changed on the event loop only, by one writer at a time."""

    path: Path
    count: int = 0
    size: int = 0
    index: list[int] = field(default_factory=list)
    """Offset of line 1, 1 + step, 1 + 2 * step…"""
    places: "OrderedDict[tuple[str | None, int], tuple[int, int]]" = field(default_factory=OrderedDict)
    """(stage, sequence) to (sequence, offset): between the two no line is of that stage."""
    loaded: bool = False
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, lengths: Sequence[int]) -> None:
        """Count lines that are in the file now."""
        for length in lengths:
            self.count_line(length)
        self.grown.set()
        self.grown = asyncio.Event()

    def count_line(self, length: int) -> None:
        """Take one more line into account."""
        if self.count % _INDEX_STEP == 0:
            self.index.append(self.size)
        self.count += 1
        self.size += length

    def place_after(self, sequence: int, stage: str | None) -> tuple[int, int]:
        """The best known line to read from: its predecessor's number, and its offset."""
        known = self.places.get((stage, sequence)) or self.places.get((None, sequence))
        if known is not None:
            return known
        step = min(sequence // _INDEX_STEP, len(self.index) - 1)
        return step * _INDEX_STEP, self.index[step]

    def empty(self) -> None:
        """Take into account that no line is there any more."""
        self.count, self.size, self.index = 0, 0, []
        self.places.clear()

    def remember(self, stage: str | None, sequence: int, place: tuple[int, int]) -> None:
        """Keep where a reader stopped."""
        self.places[stage, sequence] = place
        self.places.move_to_end((stage, sequence))
        if len(self.places) > _PLACES_MAX:
            self.places.popitem(last=False)


@dataclass(slots=True)
class _Batch:
    """Lines that will be written together, and by whom."""

    task: asyncio.Task[None]
    lines: list[NewLine] = field(default_factory=list)


class FileLogStore(LogStore, ClearableLogs):
    """Lines in files below one folder. Only one service may use it at a time."""

    def __init__(self, root: Path, *, threads: int = 4) -> None:
        """Use `root`, making it if need be."""
        self._root = root
        self._logs: OrderedDict[RunId, _Log] = OrderedDict()
        self._pool = ThreadPoolExecutor(threads, "log")
        self._appending: set[asyncio.Task[None]] = set()
        self._batches: dict[RunId, _Batch] = {}
        self._pages = SharedReads[Sequence[LogLine]]()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def append(self, run_id: RunId, lines: Sequence[NewLine]) -> None:
        """Keep lines in this order, numbered on; all or, when it raises, none.

        A caller that is cancelled meanwhile does not stop it: the lines are kept.

        Raises:
            Unavailable: if the disk does not take them.
        """
        if not lines:
            return
        batch = self._batches.get(run_id)
        if batch is None:
            task = asyncio.create_task(self._append(run_id))
            batch = self._batches[run_id] = _Batch(task)
            self._appending.add(task)
            task.add_done_callback(self._appending.discard)
        batch.lines.extend(lines)
        await asyncio.shield(batch.task)

    async def read_after(
        self, run_id: RunId, sequence: int, *, stage: str | None, limit: int
    ) -> Sequence[LogLine]:
        """Lines after `sequence`, oldest first; of one stage, if given. An unknown run has none."""
        async with self._use(run_id) as log:
            if sequence >= log.count or limit <= 0:
                return ()
            # Nobody changes what stands there: a longer log is another question.
            question = (sequence, stage, limit, log.size)
            return await self._pages(
                run_id, question, lambda: self._read_after(log, sequence, stage=stage, limit=limit)
            )

    async def _read_after(
        self, log: _Log, sequence: int, *, stage: str | None, limit: int
    ) -> Sequence[LogLine]:
        start, end = log.place_after(max(sequence, 0), stage), log.size
        read = _Read(log.path, start, end, after=sequence, stage=stage, limit=limit)
        lines = await self._in_thread(read.run)
        reached = lines[-1].sequence if lines else sequence
        log.remember(stage, reached, read.place)
        return lines

    async def last_sequence(self, run_id: RunId) -> int:
        """Number of the newest line, 0 when there is none."""
        async with self._use(run_id) as log:
            return log.count

    async def wait_for_lines(self, run_id: RunId, sequence: int, timeout_s: float) -> None:
        """Return once a line after `sequence` exists, or when time is up."""
        async with self._use(run_id) as log:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while log.count <= sequence:
                        await log.grown.wait()

    async def was_cleared(self, run_id: RunId) -> bool:
        """Whether there were lines that have been cleared away, and none since."""
        async with self._use(run_id) as log:
            return not log.count and await self._in_thread(log.path.exists)

    async def list_kept(self) -> Sequence[KeptLog]:
        """The logs of all runs that have lines.

        Raises:
            Unavailable: if the folder cannot be read.
        """
        try:
            return await self._in_thread(lambda: _list_kept(self._root))
        except OSError as exc:
            raise Unavailable(f"logs cannot be looked at: {exc.strerror}") from exc

    async def clear(self, run_id: RunId) -> bool:
        """Remove the lines of a run, unless somebody is at them; say whether they are gone.

        Raises:
            Unavailable: if the disk does not let them go.
        """
        async with self._use(run_id) as log:
            if log.users > 1:
                return False
            async with log.lock:
                # First the record: whoever comes meanwhile finds no lines, and does not look for them in the file.
                log.empty()
                try:
                    await self._in_thread(lambda: os.truncate(log.path, 0))
                except OSError as exc:
                    log.loaded = False
                    raise Unavailable(f"a log cannot be cleared away: {exc.strerror}") from exc
        return True

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _append(self, run_id: RunId) -> None:
        """Write what has come for a run meanwhile, together: many stages write a line each at the same time."""
        batch = self._batches[run_id]
        try:
            async with self._use(run_id) as log, log.lock:
                # From here on lines go into the next batch.
                del self._batches[run_id]
                log.add(await self._in_thread(lambda: _write(log.path, log.size, batch.lines)))
        finally:
            if self._batches.get(run_id) is batch:
                del self._batches[run_id]

    @asynccontextmanager
    async def _use(self, run_id: RunId) -> AsyncIterator[_Log]:
        """The log of a run, loaded; it is not forgotten while in use."""
        log = self._logs.get(run_id)
        if log is None:
            log = self._logs[run_id] = _Log(self._path_of(run_id))
        self._logs.move_to_end(run_id)
        log.users += 1
        try:
            if not log.loaded:
                await self._load(log)
            yield log
        finally:
            log.users -= 1
            self._forget_some()

    async def _load(self, log: _Log) -> None:
        """Read what an earlier life left, into a fresh record: a cancelled load must leave no half of it."""
        async with log.lock:
            if not log.loaded:
                found = await self._in_thread(lambda: _load(log.path))
                log.count, log.size, log.index, log.loaded = found.count, found.size, found.index, True

    def _forget_some(self) -> None:
        """Forget the logs that were used longest ago, except those in use."""
        surplus = len(self._logs) - _RUNS_MAX
        for run_id in [run_id for run_id, log in self._logs.items() if not log.users][: max(surplus, 0)]:
            del self._logs[run_id]

    def _path_of(self, run_id: RunId) -> Path:
        if not _RUN.fullmatch(run_id):
            raise RunUnknown(f"not a run's number: {run_id[:80]!r}")
        return self._root / f"{run_id}.jsonl"

    async def _in_thread(self, action: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, action)


class _Read:
    """One pass over a part of a file."""

    def __init__(
        self,
        path: Path,
        start: tuple[int, int],
        end: int,
        *,
        after: int,
        stage: str | None,
        limit: int,
    ) -> None:
        """Start behind line start[0], which ends at start[1]; read to offset `end`."""
        self._path = path
        self._end = end
        self._after = after
        self._stage = stage
        self._limit = limit
        self.place = start
        """Number and end of the last line that was looked at."""

    def run(self) -> list[LogLine]:
        """Return the lines asked for. Blocks."""
        found: list[LogLine] = []
        # Compared as written, so that lines of other stages need not be parsed.
        wanted = None if self._stage is None else _stage_prefix(self._stage)
        for sequence, line in self._lines():
            if sequence <= self._after or not (wanted is None or line.startswith(wanted)):
                continue
            found.append(LogLine(sequence=sequence, line=decode_line(line)))
            if len(found) == self._limit:
                break
        return found

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        sequence, offset = self.place
        with self._path.open("rb", buffering=_READ_BYTES) as file:
            file.seek(offset)
            while offset < self._end:
                line = file.readline()
                sequence += 1
                offset += len(line)
                self.place = (sequence, offset)
                yield sequence, line


def _write(path: Path, size: int, lines: Sequence[NewLine]) -> list[int]:
    """Append lines to a file of this size and return their lengths."""
    encoded = [encode_line(line) for line in lines]
    try:
        with path.open("ab", buffering=0) as file:
            try:
                pending = memoryview(b"".join(encoded))
                while pending:
                    pending = pending[file.write(pending) :]
            except OSError:
                os.ftruncate(file.fileno(), size)
                raise
    except OSError as exc:
        raise Unavailable(
            f"output cannot be kept: {exc.strerror}", hint="Make room on the service's disk."
        ) from exc
    return [len(line) for line in encoded]


def _load(path: Path) -> _Log:
    """Count the lines that are there and cut off a last one that was not written to its end."""
    log = _Log(path)
    with contextlib.suppress(FileNotFoundError), path.open("r+b", buffering=_READ_BYTES) as file:
        for line in file:
            if line.endswith(b"\n"):
                log.count_line(len(line))
        file.truncate(log.size)
    return log


def _list_kept(root: Path) -> list[KeptLog]:
    found = []
    with os.scandir(root) as entries:
        for entry in entries:
            name, _, kind = entry.name.partition(".")
            if kind != "jsonl" or not _RUN.fullmatch(name) or not entry.is_file(follow_symlinks=False):
                continue
            seen = entry.stat(follow_symlinks=False)
            if seen.st_size:
                written_at = datetime.fromtimestamp(seen.st_mtime, UTC)
                found.append(KeptLog(run_id=RunId(name), size_bytes=seen.st_size, written_at=written_at))
    return found


def _stage_prefix(stage: str) -> bytes:
    return f'{{"stage":{json.dumps(stage)},'.encode()
