"""Find a result that can stand for running a stage: known, and whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from wherry.service.domain.dvc.lockfile import is_unchanged
from wherry.service.domain.dvc.reuse import may_stand_recorded
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.states import HitSource
from wherry.service.domain.task import StageTask
from wherry.service.domain.undeclared import still_holds
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.run_cache import Result, RunCache
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.find_dvc_result import FindDvcResult

FROZEN_WITHOUT_OUTPUTS = "is frozen, but dvc.lock records no outputs of it that the store holds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What stands for running a stage."""

    entry: StageEntry
    source: HitSource
    result: Result | None = None
    """With HitSource.RUN."""


class FindResult:
    """Looks results up. One whose blobs are not all held is no result."""

    def __init__(self, *, cache: RunCache, index: BlobIndex, adopt: AdoptBlobs, dvc: FindDvcResult) -> None:
        """Look in `cache` and in DVC's; ask `index`, and about results `adopt`, whether the content is there."""
        self._cache = cache
        self._index = index
        self._adopt = adopt
        self._dvc = dvc

    async def __call__(self, task: StageTask) -> Known | None:
        """What may be used for the task.

        First what dvc.lock records, where that counts: it must not change where nothing changed. Then the
        service's own results, then DVC's, if the project trusts them.
        """
        recorded = await self._recorded(task)
        if not task.use_cache:
            return None if recorded is None else Known(entry=recorded, source=HitSource.DVC_LOCK)
        own = await self._own(task)
        if own is not None and (recorded is None or _hashes(own.entry.outs) == _hashes(recorded.outs)):
            return Known(entry=own.entry, source=HitSource.RUN, result=own)
        if recorded is not None:
            return Known(entry=recorded, source=HitSource.DVC_LOCK)
        foreign = await self._dvc(task) if task.trusts_dvc and task.cacheable else None
        return None if foreign is None else Known(entry=foreign, source=HitSource.DVC_RUN_CACHE)

    async def at_once(self, tasks: Sequence[StageTask]) -> list[Known | None]:
        """What is known of many, where that is plain: the newest result of the service's own, and held by what the index says.

        None says nothing: there may be another result, or one in dvc.lock, in DVC's run cache or in the bucket.
        """
        plain = [_is_plain(task) for task in tasks]
        found = await self._cache.find_all(
            {task.key for task, is_plain in zip(tasks, plain, strict=True) if is_plain}
        )
        chosen = [
            next((one for one in found.get(task.key, ()) if still_holds(one.undeclared, task)), None)
            if is_plain
            else None
            for task, is_plain in zip(tasks, plain, strict=True)
        ]
        missing = await self._index.find_missing(
            {out.hash for result in chosen if result is not None for out in result.entry.outs}
        )
        return [
            None
            if result is None or any(out.hash in missing for out in result.entry.outs)
            else Known(entry=result.entry, source=HitSource.RUN, result=result)
            for result in chosen
        ]

    async def is_complete(self, stage: Stage, recorded: StageEntry | None) -> bool:
        """Whether dvc.lock records every declared output, and the store holds them.

        The bucket is not asked: it was about all that locks record, when the project was opened.
        """
        if recorded is None or {out.path for out in stage.outs} - {out.path for out in recorded.outs}:
            return False
        return not await self._index.find_missing({out.hash for out in recorded.outs})

    async def _own(self, task: StageTask) -> Result | None:
        """The newest whole result of the task's strict key that read what the task would read."""
        for result in await self._cache.find(task.key) if task.cacheable else ():
            if not still_holds(result.undeclared, task):
                continue
            if not await self._adopt.find_missing({out.hash for out in result.entry.outs}):
                return result
        return None

    async def _recorded(self, task: StageTask) -> StageEntry | None:
        """What dvc.lock records of a stage that DVC would not run, where the lock may be believed.

        A stage that goes on from its persistent outputs is at rest where nothing changed, unless it is forced: what it
        last made is what it would start from now.
        """
        stage, recorded = task.stage, task.recorded
        if task.forced if stage.persistent_outs else not task.use_cache:
            return None
        if recorded is None or not may_stand_recorded(stage, trusts_dvc=task.trusts_dvc):
            return None
        if not stands_as_recorded(task, recorded):
            return None
        return recorded if await self.is_complete(stage, recorded) else None


def _is_plain(task: StageTask) -> bool:
    """Whether nothing but a result of the service's own could come first."""
    return (
        task.use_cache and task.cacheable and not may_stand_recorded(task.stage, trusts_dvc=task.trusts_dvc)
    )


def _hashes(outs: Sequence[FileEntry]) -> dict[str, str]:
    return {out.path: out.hash for out in outs}


def stands_as_recorded(task: StageTask, recorded: StageEntry) -> bool:
    """Whether command and inputs are those of dvc.lock, and persistent outputs are still what the stage left."""
    made = {out.path: out.hash for out in recorded.outs}
    if any(before is None or before.hash != made.get(path) for path, before in task.previous.items()):
        return False
    stage = task.stage
    current = StageEntry(cmd=stage.cmd, deps=task.recorded_deps, params=task.params, outs=recorded.outs)
    return is_unchanged(recorded, current, whole_files=whole_files(stage))


def whole_files(stage: Stage) -> tuple[str, ...]:
    """Params files of which every key counts."""
    return tuple(params.path for params in stage.params if params.keys is None)
