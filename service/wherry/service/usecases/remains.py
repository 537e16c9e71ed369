"""What attempts leave on the machine, and who clears it away, when."""

import asyncio
from pathlib import Path

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.task import AttemptId, RunId
from wherry.service.ports.clock import Clock
from wherry.service.ports.containers import ContainerEngine, ContainerId
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.workspaces import Workspaces

# How long the engine is left alone before it is asked again to remove what it could not remove.
_AGAIN_S = 10.0

# So many may wait to be cleared; then whoever has more waits too. What nobody needs any more must not fill the disk.
_LATER_MAX = 16

# How long the end of the service waits for what is being cleared: the next one clears the rest.
_CLOSE_S = 2.0


class Remains:
    """Containers and workspaces by attempt.

    They stay until the result of the attempt is kept, so that a service that is killed before finds them again.
    Then nobody waits for them to go, except the end of their run.
    """

    def __init__(
        self, *, engine: ContainerEngine, workspaces: Workspaces, clock: Clock, log: EventLog
    ) -> None:
        """Remove containers from `engine`; tell `log` of what it does not remove, and try that again later."""
        self._clock = clock
        self._engine = engine
        self._workspaces = workspaces
        self._log = log
        self._containers: dict[AttemptId, ContainerId] = {}
        self._folders: dict[AttemptId, Path] = {}
        self._stuck: dict[AttemptId, ContainerId] = {}
        self._settling: asyncio.Task[None] | None = None
        self._clearing: dict[RunId, set[asyncio.Task[None]]] = {}
        self.attempts: set[AttemptId] = set()
        """Those that have, or may have, left something."""
        self.stay = False
        """Whether nothing is to be stopped or removed any more: the next life of the service takes it up."""

    def add_container(self, attempt: AttemptId, container: ContainerId) -> None:
        """An attempt has a container now."""
        self._containers[attempt] = container
        self.attempts.add(attempt)

    def add_workspace(self, attempt: AttemptId, workspace: Path) -> None:
        """An attempt has a workspace now."""
        self._folders[attempt] = workspace
        self.attempts.add(attempt)

    async def clear(self, attempt: AttemptId) -> None:
        """Remove what the attempt has left. Goes on to its end when the caller is cancelled."""
        if not self.stay:
            await asyncio.shield(self._clear(attempt))

    async def clear_later(self, attempt: AttemptId, run_id: RunId) -> None:
        """Have removed what the attempt has left, while its run goes on. Waits only where much waits already."""
        clearing = self._clearing.setdefault(run_id, set())
        task = asyncio.create_task(self._clear_and_tell(attempt), name=f"clear {attempt}")
        clearing.add(task)
        task.add_done_callback(lambda _: self._forget(run_id, task))
        if sum(map(len, self._clearing.values())) > _LATER_MAX:
            await asyncio.wait([task])

    async def cleared(self, run_id: RunId) -> None:
        """Return when nothing is left of what the run's attempts wanted cleared; the run has ended."""
        while clearing := self._clearing.get(run_id):
            await asyncio.wait(clearing)
        await self._engine.end_group(run_id)

    async def close(self) -> None:
        """Stop and remove nothing any more; what is being removed may end."""
        self.stay = True
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait([self._settling])
        if going := [task for tasks in self._clearing.values() for task in tasks]:
            await asyncio.wait(going, timeout=_CLOSE_S)

    async def _clear_and_tell(self, attempt: AttemptId) -> None:
        try:
            await self.clear(attempt)
        except Exception:  # noqa: BLE001 - the result is kept: the stage has succeeded whatever is left of it; told
            self._log.exception("what an attempt left is not cleared away", attempt=attempt)

    def _forget(self, run_id: RunId, task: asyncio.Task[None]) -> None:
        clearing = self._clearing[run_id]
        clearing.discard(task)
        if not clearing:
            del self._clearing[run_id]

    async def _clear(self, attempt: AttemptId) -> None:
        container, workspace = self._containers.pop(attempt, None), self._folders.pop(attempt, None)
        if container is not None:
            try:
                await self._engine.remove(container)
            except Unavailable as exc:
                self._stuck[attempt] = container
                self._log.warning("container not removed", attempt=attempt, reason=exc.message)
                self._settle_later()
        if workspace is not None:
            await self._workspaces.remove(workspace)
        if attempt not in self._stuck:
            self.attempts.discard(attempt)

    def _settle_later(self) -> None:
        """See to it that nothing goes on for nobody: a stage that was stopped may still run."""
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle_at_last(), name="remove containers")

    async def _settle_at_last(self) -> None:
        while not self.stay:
            await self._clock.sleep(_AGAIN_S)
            if await self.settle():
                return

    async def settle(self) -> bool:
        """Remove containers that could not be removed before; returns whether none is left."""
        for attempt, container in list(self._stuck.items()):
            try:
                await self._engine.remove(container)
            except Unavailable:
                return False
            self._stuck.pop(attempt, None)
            self.attempts.discard(attempt)
        return True
