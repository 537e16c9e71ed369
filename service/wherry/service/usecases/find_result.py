"""Find a result that can stand for running a stage: known, and whole."""

from wherry.service.domain.dvc.lockfile import is_unchanged
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.records import StageEntry
from wherry.service.domain.task import StageTask
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.run_cache import Result, RunCache

FROZEN_WITHOUT_OUTPUTS = "is frozen, but dvc.lock records no outputs of it that the store holds"


class FindResult:
    """Looks results up. One whose blobs are not all held is no result."""

    def __init__(self, *, cache: RunCache, index: BlobIndex) -> None:
        """Look in `cache`, and ask `index` whether the content is there."""
        self._cache = cache
        self._index = index

    async def __call__(self, task: StageTask) -> Result | None:
        """The result of the task's strict key, if it may be used and is whole."""
        if not (task.use_cache and task.cacheable):
            return None
        result = await self._cache.find(task.key)
        if result is None or not await self.is_held(result.entry):
            return None
        return result

    async def recorded(self, task: StageTask, recorded: StageEntry | None) -> StageEntry | None:
        """What dvc.lock records of a stage that DVC would not run and whose results are not shared.

        Of such a stage nothing but dvc.lock says whether it has to run again.
        """
        stage = task.stage
        if recorded is None or stage.runs_always or task.cacheable or not task.use_cache:
            return None
        current = StageEntry(cmd=stage.cmd, deps=task.recorded_deps, params=task.params, outs=recorded.outs)
        if not is_unchanged(recorded, current, whole_files=whole_files(stage)):
            return None
        return recorded if await self.is_complete(stage, recorded) else None

    async def is_complete(self, stage: Stage, recorded: StageEntry | None) -> bool:
        """Whether dvc.lock records every declared output, and the store holds them."""
        if recorded is None or {out.path for out in stage.outs} - {out.path for out in recorded.outs}:
            return False
        return await self.is_held(recorded)

    async def is_held(self, entry: StageEntry) -> bool:
        """Whether the store holds every output; a tree is held only with its members."""
        return not await self._index.find_missing({out.hash for out in entry.outs})


def whole_files(stage: Stage) -> tuple[str, ...]:
    """Params files of which every key counts."""
    return tuple(params.path for params in stage.params if params.keys is None)
