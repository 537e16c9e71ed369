"""What attempts leave on the machine, and who clears it away, when."""

import asyncio
from pathlib import Path

from wherry.service.domain.errors import Unavailable
from wherry.service.domain.task import AttemptId
from wherry.service.ports.containers import ContainerEngine, ContainerId
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.workspaces import Workspaces


class Remains:
    """Containers and workspaces by attempt.

    They stay until the result of the attempt is kept, so that a service that is killed before finds them again.
    """

    def __init__(self, *, engine: ContainerEngine, workspaces: Workspaces, log: EventLog) -> None:
        """Remove containers from `engine`; tell `log` of what it does not remove."""
        self._engine = engine
        self._workspaces = workspaces
        self._log = log
        self._containers: dict[AttemptId, ContainerId] = {}
        self._folders: dict[AttemptId, Path] = {}
        self._stuck: dict[AttemptId, ContainerId] = {}
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

    async def _clear(self, attempt: AttemptId) -> None:
        container, workspace = self._containers.pop(attempt, None), self._folders.pop(attempt, None)
        if container is not None:
            try:
                await self._engine.remove(container)
            except Unavailable as exc:
                self._stuck[attempt] = container
                self._log.warning("container not removed", attempt=attempt, reason=exc.message)
        if workspace is not None:
            await self._workspaces.remove(workspace)
        if attempt not in self._stuck:
            self.attempts.discard(attempt)

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
