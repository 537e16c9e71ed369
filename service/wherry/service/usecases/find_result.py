"""Find a result that can stand for running a stage: known, and whole."""

from wherry.service.domain.dvc.lockfile import is_unchanged
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.records import StageEntry
from wherry.service.domain.task import StageTask
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.run_cache import Result, RunCache
from wherry.service.usecases.adopt_blobs import AdoptBlobs

FROZEN_WITHOUT_OUTPUTS = "is frozen, but dvc.lock records no outputs of it that the store holds"


class FindResult:
    """Looks results up. One whose blobs are not all held is no result."""

    def __init__(self, *, cache: RunCache, index: BlobIndex, adopt: AdoptBlobs) -> None:
        """Look in `cache`; ask `index`, and about results `adopt`, whether the content is there."""
        self._cache = cache
        self._index = index
        self._adopt = adopt

    async def __call__(self, task: StageTask) -> Result | None:
        """The result of the task's strict key, if it may be used and is whole."""
        if not (task.use_cache and task.cacheable):
            return None
        result = await self._cache.find(task.key)
        if result is None or await self._adopt.find_missing({out.hash for out in result.entry.outs}):
            return None
        return result

    async def recorded(self, task: StageTask, recorded: StageEntry | None) -> StageEntry | None:
        """What dvc.lock records of a stage that DVC would not run and whose results are not shared.

        Of such a stage nothing but dvc.lock says whether it has to run again. Nor does anything else of a stage
        that goes on from what its persistent outputs are: what it last made is what it would start from now.
        """
        stage = task.stage
        if recorded is None or stage.runs_always:
            return None
        if task.forced if stage.persistent_outs else task.cacheable or not task.use_cache:
            return None
        if not stands_as_recorded(task, recorded):
            return None
        return recorded if await self.is_complete(stage, recorded) else None

    async def is_complete(self, stage: Stage, recorded: StageEntry | None) -> bool:
        """Whether dvc.lock records every declared output, and the store holds them.

        The bucket is not asked: it was about all that locks record, when the project was opened.
        """
        if recorded is None or {out.path for out in stage.outs} - {out.path for out in recorded.outs}:
            return False
        return not await self._index.find_missing({out.hash for out in recorded.outs})


def stands_as_recorded(task: StageTask, recorded: StageEntry) -> bool:
    """Whether command and inputs are those of dvc.lock, and persistent outputs are still what the stage left."""
    made = {out.path: out.hash for out in recorded.outs}
    if any(before is None or before.hash != made.get(path) for path, before in task.previous.items()):
        return False
    stage = task.stage
    current = StageEntry(cmd=stage.cmd, deps=task.deps, params=task.params, outs=recorded.outs)
    return is_unchanged(recorded, current, whole_files=whole_files(stage))


def whole_files(stage: Stage) -> tuple[str, ...]:
    """Params files of which every key counts."""
    return tuple(params.path for params in stage.params if params.keys is None)
