"""Stop a stage that writes too much to its workspace.

The workspace is measured while the stage runs: no file system that Wherry can rely on everywhere bounds a folder. So
a stage may exceed the limit for the moment between two looks, and what it removes while it keeps it open is not seen.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from wherry.service.domain.errors import Unavailable
from wherry.service.ports.clock import Clock
from wherry.service.ports.containers import ContainerEngine, ContainerId
from wherry.service.ports.workspaces import Workspaces

_LOOK_EVERY_S = 1.0
# Looking at a million files takes seconds: it may cost a twentieth of one processor.
_REST_FOR_EACH_S = 20.0

# Without a limit a stage may take half of what is free when it starts, and this at least.
_FREE_SHARE = 2
_LEAST_BYTES = 10**9


@dataclass(slots=True)
class DiskWatch:
    """What came of watching one stage."""

    exceeded_bytes: int | None = None
    """The limit, if the stage was stopped for it."""


class DiskLimit:
    """Watches workspaces of running stages."""

    def __init__(
        self,
        *,
        engine: ContainerEngine,
        workspaces: Workspaces,
        clock: Clock,
        free_bytes: Callable[[], int],
        bytes_max: int | None = None,
        every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """Let a stage add `bytes_max` to its workspace; None: half of what is free when it starts."""
        self._engine = engine
        self._workspaces = workspaces
        self._clock = clock
        self._free_bytes = free_bytes
        self._bytes_max = bytes_max
        self._every_s = every_s

    @contextlib.asynccontextmanager
    async def watched(self, container: ContainerId, workspace: Path) -> AsyncIterator[DiskWatch]:
        """Watch a workspace from now on, and kill the container when it has become too large."""
        watch = DiskWatch()
        watching = asyncio.create_task(self._watch(container, workspace, watch))
        try:
            yield watch
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, container: ContainerId, workspace: Path, watch: DiskWatch) -> None:
        limit = self._bytes_max
        if limit is None:
            limit = max(self._free_bytes() // _FREE_SHARE, _LEAST_BYTES)
        before: int | None = None
        while True:
            started = self._clock.monotonic_s()
            with contextlib.suppress(Unavailable):
                used = await self._workspaces.measure(workspace)
                # The first look is at what was laid out: the stage has hardly begun.
                before = used if before is None else before
                if used - before > limit:
                    watch.exceeded_bytes = limit
                    await self._engine.stop(container, grace_s=0)
                    return
            took_s = self._clock.monotonic_s() - started
            await asyncio.sleep(max(self._every_s, _REST_FOR_EACH_S * took_s))
