"""Find a result that can stand for running a stage: known, and whole."""

from wherry.service.domain.dvc.lockfile import is_unchanged
from wherry.service.domain.records import StageEntry
from wherry.service.domain.task import StageTask
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.run_cache import Result, RunCache


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
        """What dvc.lock records, where DVC would not run the stage and the run cache does not serve it.

        That is a frozen stage, whatever its inputs; and a stage whose results are not shared because
        nothing but dvc.lock says when they are outdated.
        """
        stage = task.stage
        if recorded is None or stage.always_changed or not task.use_cache:
            return None
        if not stage.frozen:
            current = StageEntry(cmd=stage.cmd, deps=task.deps, params=task.params, outs=recorded.outs)
            has_inputs_or_outs = bool(stage.deps or stage.params or stage.outs)
            if task.cacheable or not has_inputs_or_outs or not is_unchanged(recorded, current):
                return None
        declared = {out.path for out in stage.outs}
        if declared - {out.path for out in recorded.outs} or not await self.is_held(recorded):
            return None
        return recorded

    async def is_held(self, entry: StageEntry) -> bool:
        """Whether the store holds every output; a tree is held only with its members."""
        return not await self._index.find_missing({out.hash for out in entry.outs})
