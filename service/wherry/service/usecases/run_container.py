"""Run a stage's container, or go along with one that runs: what it writes is handed on, its end is told."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.limits import (
    ENGINE_LOG_FILE_BYTES,
    ENGINE_LOG_LINE_BYTES,
    LOG_BYTES_PER_STAGE_MAX,
    LOG_LINE_BYTES_MAX,
)
from wherry.service.domain.lines import LineSplitter
from wherry.service.domain.secrets import SecretMask
from wherry.service.domain.shell import secrets_script, take_failed_command
from wherry.service.domain.states import State
from wherry.service.domain.task import AttemptId
from wherry.service.domain.usage import Usage
from wherry.service.ports.clock import Clock
from wherry.service.ports.containers import (
    ContainerEngine,
    ContainerId,
    ContainerSpec,
    Exit,
    OutputPiece,
    Source,
)
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver
from wherry.service.usecases.disk_limit import DiskLimit
from wherry.service.usecases.measure_usage import UsageMeter
from wherry.service.usecases.remains import Remains
from wherry.service.usecases.whole_calls import whole

# What a process gets to put its things in order after SIGTERM; Docker's own default.
_STOP_GRACE_S = 10.0

# Between two tries to reach an engine that does not answer.
_STOP_AGAIN_S = 5.0

# A container whose output has ended has ended, unless its engine broke off. Then the end is not told either.
_END_OF_OUTPUT_S = 1.0

# What an engine has dropped is followed by a whole file: who is given less was given all there ever was. A little below,
# for what a line takes besides its bytes is not the same for all.
_WHOLE_BYTES = ENGINE_LOG_FILE_BYTES // 16 * 15
_MAY_BE_MISSING = (
    f"the stage wrote about {ENGINE_LOG_FILE_BYTES // 1024**2} MiB or more, which the engine does not keep whole: from where "
    "the service or the engine was restarted, lines may be missing or come twice"
)

_STREAM_OF = {Source.STDOUT: LogStream.STDOUT, Source.STDERR: LogStream.STDERR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a stage's container ended."""

    exit: Exit
    wall_s: float
    """Seconds from the start of the command to its end."""
    timed_out: bool = False
    """Whether it was stopped because its time was up."""
    usage: Usage
    over_disk_bytes: int | None = None
    """How much it may add to its workspace, if it was stopped for adding more."""
    failed_command: int | None = None
    """Of several commands, the number of the one that failed, from 1; None: not known."""

    @property
    def is_good(self) -> bool:
        """Whether the command ended by itself, and well."""
        stopped = self.timed_out or self.over_disk_bytes is not None
        return self.exit.code == 0 and not self.exit.out_of_memory and not stopped


class RunContainer:
    """Makes a container, or takes one up, and goes along with it to its end. It is removed by whoever clears remains."""

    def __init__(self, *, engine: ContainerEngine, clock: Clock, disk: DiskLimit, remains: Remains) -> None:
        """Run on `engine`; durations are those of `clock`; `disk` watches what is written."""
        self._disk = disk
        self._engine = engine
        self._clock = clock
        self._remains = remains

    async def __call__(
        self,
        spec: ContainerSpec,
        attempt: AttemptId,
        observer: StageObserver,
        *,
        timeout_s: float | None = None,
    ) -> Ended:
        """Return when the container has ended. Cancelled, it stops the container first.

        After `timeout_s` it is stopped: what it writes while it puts its things in order is still handed on.

        Raises:
            Unavailable: if the engine does not answer.
            ImageNotFound: if the image is gone, or cannot run the command.
        """
        # By its name first: it may be there though the engine's answer was lost.
        self._remains.add_container(attempt, ContainerId(spec.name))
        container = await whole(self._engine.create(spec), partial(self._remains.add_container, attempt))
        await observer.entered(State.RUNNING)
        output = _Output(observer, spec.secrets)
        pieces = self._engine.start(container, stdin=output.stdin)
        return await self._go_along(container, pieces, output, workspace=spec.workspace, timeout_s=timeout_s)

    async def resume(
        self,
        container: ContainerId,
        attempt: AttemptId,
        observer: StageObserver,
        *,
        workspace: Path,
        secrets: Mapping[str, bytes],
        timeout_s: float | None = None,
    ) -> Ended:
        """Go along with a container that was started before; its output is handed on from the start.

        Raises:
            Unavailable: if the engine does not answer, or the container is gone.
        """
        self._remains.add_container(attempt, container)
        left_s = None if timeout_s is None else timeout_s - await self._engine.age_s(container)
        output = _Output(observer, secrets, is_copy=True)
        pieces = self._engine.output(container)
        ended = await self._go_along(container, pieces, output, workspace=workspace, timeout_s=left_s)
        ran_s = ended.exit.ran_s
        if ran_s is None:
            return ended
        # It may have ended in time while nobody looked.
        return replace(ended, wall_s=ran_s, timed_out=ended.timed_out and ran_s >= (timeout_s or 0.0))

    async def _go_along(
        self,
        container: ContainerId,
        pieces: AsyncGenerator[OutputPiece],
        output: "_Output",
        *,
        workspace: Path,
        timeout_s: float | None,
    ) -> Ended:
        started = self._clock.monotonic_s()
        try:
            async with (
                UsageMeter(self._engine, container) as meter,
                _TimeLimit(self._engine, container, timeout_s) as limit,
                self._disk.watched(container, workspace) as disk,
            ):
                await output.pass_on(pieces)
                ended = await self._end_of(container, output)
                wall_s = self._clock.monotonic_s() - started
        except asyncio.CancelledError:
            if not self._remains.stay:
                # An engine that is away changes nothing about the wish: the container is removed when it is back.
                with contextlib.suppress(Unavailable):
                    await asyncio.shield(self._engine.stop(container, grace_s=_STOP_GRACE_S))
            raise
        return Ended(
            exit=ended,
            wall_s=wall_s,
            timed_out=limit.has_passed,
            over_disk_bytes=disk.exceeded_bytes,
            usage=meter.usage,
            failed_command=output.failed_command,
        )

    async def _end_of(self, container: ContainerId, output: "_Output") -> Exit:
        """Wait for the end. Output that broke off before, because its engine was restarted, is read on."""
        waiting = asyncio.ensure_future(self._engine.wait(container))
        try:
            while not (await asyncio.wait({waiting}, timeout=_END_OF_OUTPUT_S))[0]:
                await output.pass_on(self._engine.output(container), from_start=True)
            await output.finish()
            return waiting.result()
        finally:
            waiting.cancel()


class _TimeLimit:
    """Stops a container that runs for too long."""

    def __init__(self, engine: ContainerEngine, container: ContainerId, timeout_s: float | None) -> None:
        self._engine = engine
        self._container = container
        self._timeout_s = timeout_s
        self._watching: asyncio.Task[None] | None = None
        self.has_passed = False

    async def __aenter__(self) -> Self:
        if self._timeout_s is not None:
            self._watching = asyncio.create_task(self._watch(self._timeout_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)
        self.has_passed = True
        while True:
            # The engine is away for a moment, or was asked before it started the container: the limit still holds.
            with contextlib.suppress(Unavailable):
                await self._engine.stop(self._container, grace_s=_STOP_GRACE_S)
            await asyncio.sleep(_STOP_AGAIN_S)


class _Output:
    """Cuts a container's output into lines and hands them on, up to the limit for one stage."""

    def __init__(
        self, observer: StageObserver, secrets: Mapping[str, bytes], *, is_copy: bool = False
    ) -> None:
        self._observer = observer
        self._is_copy = is_copy
        self._kept_by_engine = 0
        self.stdin = secrets_script(secrets)
        self._masks = {source: SecretMask(secrets.values()) for source in Source}
        self._splitters = {source: LineSplitter(LOG_LINE_BYTES_MAX) for source in Source}
        self._bytes = 0
        self._taken = Counter[Source]()
        self.failed_command: int | None = None

    async def pass_on(self, pieces: AsyncGenerator[OutputPiece], *, from_start: bool = False) -> None:
        """Hand on everything until the container has ended, or its engine breaks off.

        With `from_start` what was taken already comes once more, first.
        """
        known = Counter(self._taken) if from_start else Counter[Source]()
        self._is_copy |= from_start
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                again = min(known[piece.source], len(piece.data))
                known[piece.source] -= again
                if again < len(piece.data):
                    await self._take(OutputPiece(piece.source, piece.data[again:]))

    async def finish(self) -> None:
        """Hand on a last line without an end."""
        for source, splitter in self._splitters.items():
            rest = splitter.feed(self._masks[source].finish())
            await self._hand_on(source, [*rest, *splitter.finish()])

    async def _take(self, piece: OutputPiece) -> None:
        self._taken[piece.source] += len(piece.data)
        await self._count(piece)
        clean = self._masks[piece.source].feed(piece.data)
        await self._hand_on(piece.source, self._splitters[piece.source].feed(clean))

    async def _count(self, piece: OutputPiece) -> None:
        """Say once, of the engine's own copy, when its beginning may have been dropped: nobody else would know."""
        before = self._kept_by_engine
        self._kept_by_engine += len(piece.data) + ENGINE_LOG_LINE_BYTES * piece.data.count(b"\n")
        is_doubtful = before < _WHOLE_BYTES <= self._kept_by_engine
        if self._is_copy and is_doubtful:
            await self._observer.wrote(LogStream.SYSTEM, [_MAY_BE_MISSING.encode()])

    async def _hand_on(self, source: Source, lines: Sequence[bytes]) -> None:
        if source is Source.STDERR:
            lines = list(self._without_driver(lines))
        if not lines or self._bytes > LOG_BYTES_PER_STAGE_MAX:
            return
        self._bytes += sum(len(line) + 1 for line in lines)
        await self._observer.wrote(_STREAM_OF[source], lines)
        if self._bytes > LOG_BYTES_PER_STAGE_MAX:
            marker = f"the stage wrote more than {LOG_BYTES_PER_STAGE_MAX} bytes: the rest is not kept"
            await self._observer.wrote(LogStream.SYSTEM, [marker.encode()])

    def _without_driver(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        for line in lines:
            written, number = take_failed_command(line)
            if number is not None:
                self.failed_command = number
            if written is not None:
                yield written
