"""Run a stage's container, or go along with one that runs: what it writes is handed on, its end is told."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from wherry.service.domain.limits import LOG_BYTES_PER_STAGE_MAX, LOG_LINE_BYTES_MAX
from wherry.service.domain.lines import LineSplitter
from wherry.service.domain.states import State
from wherry.service.domain.task import AttemptId
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
from wherry.service.usecases.remains import Remains

# What a process gets to put its things in order after SIGTERM; Docker's own default.
_STOP_GRACE_S = 10.0

_STREAM_OF = {Source.STDOUT: LogStream.STDOUT, Source.STDERR: LogStream.STDERR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a stage's container ended."""

    exit: Exit
    wall_s: float
    """Seconds from the start of the command to its end."""


class RunContainer:
    """Makes a container, or takes one up, and goes along with it to its end. It is removed by whoever clears remains."""

    def __init__(self, *, engine: ContainerEngine, clock: Clock, remains: Remains) -> None:
        """Run on `engine`; durations are those of `clock`."""
        self._engine = engine
        self._clock = clock
        self._remains = remains

    async def __call__(self, spec: ContainerSpec, attempt: AttemptId, observer: StageObserver) -> Ended:
        """Return when the container has ended. Cancelled, it stops the container first.

        Raises:
            Unavailable: if the engine does not answer.
            ImageNotFound: if the image is gone, or cannot run the command.
        """
        container = await self._engine.create(spec)
        self._remains.add_container(attempt, container)
        await observer.entered(State.RUNNING)
        return await self._go_along(container, self._engine.start(container), observer)

    async def resume(self, container: ContainerId, attempt: AttemptId, observer: StageObserver) -> Ended:
        """Go along with a container that was started before; its output is handed on from the start.

        Raises:
            Unavailable: if the engine does not answer, or the container is gone.
        """
        self._remains.add_container(attempt, container)
        ended = await self._go_along(container, self._engine.output(container), observer)
        return replace(ended, wall_s=ended.wall_s if ended.exit.ran_s is None else ended.exit.ran_s)

    async def _go_along(
        self, container: ContainerId, pieces: AsyncGenerator[OutputPiece], observer: StageObserver
    ) -> Ended:
        started = self._clock.monotonic_s()
        try:
            await _Output(observer).pass_on(pieces)
            ended = await self._engine.wait(container)
        except asyncio.CancelledError:
            if not self._remains.stay:
                await asyncio.shield(self._engine.stop(container, grace_s=_STOP_GRACE_S))
            raise
        return Ended(exit=ended, wall_s=self._clock.monotonic_s() - started)


class _Output:
    """Cuts a container's output into lines and hands them on, up to the limit for one stage."""

    def __init__(self, observer: StageObserver) -> None:
        self._observer = observer
        self._splitters = {source: LineSplitter(LOG_LINE_BYTES_MAX) for source in Source}
        self._bytes = 0

    async def pass_on(self, pieces: AsyncGenerator[OutputPiece]) -> None:
        """Hand on everything until the container has ended."""
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                await self._take(piece)
        for source, splitter in self._splitters.items():
            await self._hand_on(source, splitter.finish())

    async def _take(self, piece: OutputPiece) -> None:
        await self._hand_on(piece.source, self._splitters[piece.source].feed(piece.data))

    async def _hand_on(self, source: Source, lines: Sequence[bytes]) -> None:
        if not lines or self._bytes > LOG_BYTES_PER_STAGE_MAX:
            return
        self._bytes += sum(len(line) + 1 for line in lines)
        await self._observer.wrote(_STREAM_OF[source], lines)
        if self._bytes > LOG_BYTES_PER_STAGE_MAX:
            marker = f"the stage wrote more than {LOG_BYTES_PER_STAGE_MAX} bytes: the rest is not kept"
            await self._observer.wrote(LogStream.SYSTEM, [marker.encode()])
