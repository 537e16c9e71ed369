"""Stop a run on request."""

from wherry.service.domain.task import RunId
from wherry.service.ports.runs import RunStore
from wherry.service.usecases.drive_run import DriveRun


class StopRun:
    """Keeps the request before it is acted on: a service that ends meanwhile stops the run when it is back."""

    def __init__(self, *, runs: RunStore, drive: DriveRun) -> None:
        """Keep the request in `runs`, and have `drive` act on it."""
        self._runs = runs
        self._drive = drive

    async def __call__(self, run_id: RunId) -> None:
        """Ask a run to stop; nothing happens when it has ended."""
        await self._runs.request_stop(run_id)
        self._drive.cancel(run_id)
