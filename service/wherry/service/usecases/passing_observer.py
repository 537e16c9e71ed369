"""An observer that passes on what it is told: what observers are made of that do something more at some of it."""

from collections.abc import Sequence

from wherry.service.domain.states import Phase, State
from wherry.service.domain.task import AttemptId
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import OutputPlace, StageObserver


class PassingObserver(StageObserver):
    """Passes everything on."""

    def __init__(self, inner: StageObserver) -> None:
        """Pass on to `inner`."""
        self._inner = inner

    async def began(self, attempt: AttemptId) -> None:
        """See the port."""
        await self._inner.began(attempt)

    async def resumed(self, attempt: AttemptId) -> None:
        """See the port."""
        await self._inner.resumed(attempt)

    async def attached(self, origin: OutputPlace, state: State) -> None:
        """See the port."""
        await self._inner.attached(origin, state)

    async def entered(self, state: State, phase: Phase | None = None) -> None:
        """See the port."""
        await self._inner.entered(state, phase)

    async def waits(self, reason: str) -> None:
        """See the port."""
        await self._inner.waits(reason)

    async def wrote(self, stream: LogStream, lines: Sequence[bytes]) -> None:
        """See the port."""
        await self._inner.wrote(stream, lines)

    def place(self) -> OutputPlace:
        """See the port."""
        return self._inner.place()
