"""After a start: clear away what an earlier life of the service left behind.

Runs that were going on are marked lost; what their finished stages produced stays known, so that
submitting again goes on where they stopped.
"""

from collections.abc import Mapping
from dataclasses import replace

from wherry.service.domain.run import SERVICE_STOPPED
from wherry.service.domain.states import State
from wherry.service.ports.clock import Clock
from wherry.service.ports.containers import ContainerEngine
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.runs import RunStore
from wherry.service.ports.workspaces import Workspaces


class RecoverRuns:
    """Brings records and machine to a state in which nothing is going on."""

    def __init__(
        self,
        *,
        runs: RunStore,
        engine: ContainerEngine,
        workspaces: Workspaces,
        clock: Clock,
        log: EventLog,
        labels: Mapping[str, str],
    ) -> None:
        """Containers with `labels` are ours."""
        self._runs = runs
        self._engine = engine
        self._workspaces = workspaces
        self._clock = clock
        self._log = log
        self._labels = labels

    async def __call__(self) -> None:
        """Clear away. Harmless to repeat."""
        for container in await self._engine.list_labelled(self._labels):
            await self._engine.remove(container)
        await self._workspaces.remove_all()
        for run in await self._runs.list_active():
            unfinished = [
                replace(stage, state=State.LOST, reason=SERVICE_STOPPED.message)
                for stage in run.stages.values()
                if not stage.state.is_final
            ]
            await self._runs.save_stages(run.id, unfinished)
            await self._runs.save_run(
                replace(run, state=State.LOST, finished_at=self._clock.now(), error=SERVICE_STOPPED)
            )
            self._log.warning("run lost with the service", run_id=run.id)
