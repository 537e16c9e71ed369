"""After a restart: what stages of a run have made before it stands, and is not made again."""

from dataclasses import replace
from functools import partial

from wherry.service.domain.dvc.graph import active_upstream
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.errors import NotFound, Precondition
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.run import StageRecord
from wherry.service.domain.states import State
from wherry.service.ports.clock import Clock
from wherry.service.usecases.attempt_stage import GoingRun
from wherry.service.usecases.force_downstream import is_up_to_date
from wherry.service.usecases.patience import patiently
from wherry.service.usecases.resolve_stage import ResolveStage


class KeepSucceeded:
    """Brings a run to where it was, by the records of its stages."""

    def __init__(self, resolve: ResolveStage, clock: Clock) -> None:
        """Find inputs with `resolve`, which gives what it gave before."""
        self._resolve = resolve
        self._clock = clock

    async def __call__(self, going: GoingRun) -> None:
        """Place what stages have made. One whose inputs are no longer to be had goes again."""
        for stage in going.state.project.stages:
            record = going.progress.stages[stage.name]
            if record.state != State.SUCCEEDED:
                continue
            entry = await self._entry(going, stage, record)
            if entry is None:
                going.progress.put_back(stage)
                continue
            going.state.add_outputs(stage, entry)
            going.progress.entries[stage.name] = entry

    async def _entry(self, going: GoingRun, stage: Stage, record: StageRecord) -> StageEntry | None:
        outs = _outs(stage, record)
        if outs is None:
            return None
        if stage.frozen:
            recorded = going.state.project.recorded(stage)
            return None if recorded is None else replace(recorded, outs=outs)
        upstream = active_upstream(going.state.project.pipeline, stage.name)
        if any(name in going.progress.stages and name not in going.progress.entries for name in upstream):
            return None
        try:
            task = await patiently(
                partial(self._resolve, going.state, stage, run_id=going.run.id, use_cache=True, forced=False),
                self._clock,
            )
        except (NotFound, Precondition):
            return None
        if not is_up_to_date(task):
            going.progress.renewed.add(stage.name)
        return StageEntry(cmd=stage.cmd, deps=task.deps, params=task.params, outs=outs)


def _outs(stage: Stage, record: StageRecord) -> tuple[FileEntry, ...] | None:
    """The outputs as they were recorded; None: not all of them were."""
    made = {out.path: out for out in record.outs}
    if any(out.project_path not in made for out in stage.outs):
        return None
    return tuple(
        FileEntry(
            path=out.path,
            hash=made[out.project_path].hash,
            size_bytes=made[out.project_path].size_bytes,
            nfiles=made[out.project_path].nfiles,
            executable=made[out.project_path].executable,
        )
        for out in sorted(stage.outs, key=lambda out: out.path)
    )
