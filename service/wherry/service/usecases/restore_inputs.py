"""Attempt a stage; where an input has gone from the store, have what made it run again in the same run."""

import asyncio

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.graph import active_upstream
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry
from wherry.service.domain.states import State
from wherry.service.domain.task import Lost, Vanished
from wherry.service.usecases.attempt_stage import AttemptStage, GoingRun
from wherry.service.usecases.find_vanished import FindVanished

# How often in one run a stage is attempted anew because an input is gone, and how often one runs to restore outputs.
_TIMES_MAX = 2

_Outputs = dict[StageName, tuple[FileEntry, ...]]


class RestoreInputs:
    """Attempts stages, and decides what goes once more."""

    def __init__(self, *, attempt: AttemptStage, find_vanished: FindVanished) -> None:
        """Learn from `find_vanished` what is gone."""
        self._attempt = attempt
        self._find_vanished = find_vanished
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, going: GoingRun, stage: Stage) -> list[Stage]:
        """Return when the attempt is over; what is returned has to go once more, and is recorded as waiting."""
        before = _upstream_outputs(going, stage)
        vanished = await self._attempt(going, stage)
        if vanished is not None:
            # Two readers often find the same: the second must see what was decided for the first.
            async with self._one_at_a_time:
                return await self._restore(going, stage, vanished)
        if going.progress.stages[stage.name].state != State.SUCCEEDED:
            return []
        again = _readers(going, stage) if going.progress.has_other_outputs(stage) else []
        if before != _upstream_outputs(going, stage):
            again.append(stage)  # it has read what was made anew meanwhile, and came out otherwise
        for other in again:
            going.progress.put_back(other)
        return again

    async def _restore(self, going: GoingRun, stage: Stage, vanished: Vanished) -> list[Stage]:
        progress = going.progress
        waits = going.waits[stage.name] = going.waits.get(stage.name, 0) + 1
        if not _stands_on_successes(going, stage):
            progress.put_back(stage)
            return [stage]
        gone = await self._gone(going)
        inputs = [at for at, blob in going.state.placed_for(stage).items() if blob in gone]
        complaint = _complaint(going, stage, inputs, gone)
        if complaint or waits > _TIMES_MAX:
            lost = Lost(
                reason=complaint or f"{vanished.reason}, not even after {_TIMES_MAX} further attempts"
            )
            await self._attempt.end(going, stage, progress.stages[stage.name], lost)
            return []
        makers = _makers(going, gone)
        await self._tell(going, stage, vanished, inputs=inputs, makers=makers)
        for maker in makers:
            progress.restoring[maker.name] = progress.restoring.get(maker.name, 0) + 1
        for one in (stage, *makers):
            progress.put_back(one)
        return [stage, *makers]

    async def _tell(
        self,
        going: GoingRun,
        stage: Stage,
        vanished: Vanished,
        *,
        inputs: list[ProjectPath],
        makers: list[Stage],
    ) -> None:
        run_id, outputs = going.run.id, going.state.project.pipeline.outputs
        if not inputs:
            await self._attempt.say(run_id, stage, f"{vanished.reason}; trying again")
        for at in inputs:
            await self._attempt.say(
                run_id, stage, f"the store no longer has {at}: {outputs[at]!r} runs again"
            )
        for maker in makers:
            await self._attempt.say(run_id, maker, "runs again: the store no longer has what it made")

    async def _gone(self, going: GoingRun) -> set[BlobHash]:
        """Of all that the run stands on: what one `dvc gc` takes is mostly more than one input."""
        files = {file.hash for file in going.state.files.values()}
        return await self._find_vanished({*_all_placed(going).values(), *files})


def _all_placed(going: GoingRun) -> dict[ProjectPath, BlobHash]:
    state = going.state
    return {at: data.hash for at, data in {**state.previous, **state.placed}.items()}


def _stands_on_successes(going: GoingRun, stage: Stage) -> bool:
    stages = going.progress.stages
    upstream = active_upstream(going.state.project.pipeline, stage.name)
    return all(stages[name].state == State.SUCCEEDED for name in upstream if name in stages)


def _makers(going: GoingRun, gone: set[BlobHash]) -> list[Stage]:
    """Stages of the run that have made what is gone, and may make it once more."""
    pipeline, progress = going.state.project.pipeline, going.progress
    names = {pipeline.outputs.get(at) for at, blob in _all_placed(going).items() if blob in gone}
    return [
        stage
        for stage in going.state.project.stages
        if stage.name in names
        and progress.stages[stage.name].state == State.SUCCEEDED
        and progress.restoring.get(stage.name, 0) < _TIMES_MAX
    ]


def _complaint(going: GoingRun, stage: Stage, inputs: list[ProjectPath], gone: set[BlobHash]) -> str:
    """Why the stage cannot go on in this run; empty: it can."""
    outputs = going.state.project.pipeline.outputs
    for at in inputs:
        maker = outputs.get(at)
        if maker is None or maker == stage.name:
            return f"the store no longer has {at}, which no stage makes: submit again from where its data is, or `dvc push` it"
        if maker not in going.progress.stages:
            return f"the store no longer has {at}: submit again, with {maker!r}, which makes it"
        if going.progress.restoring.get(maker, 0) >= _TIMES_MAX:
            return f"the store no longer has {at}, though {maker!r} made it anew {_TIMES_MAX} times"
    files = [path for path, file in going.state.files.items() if file.hash in gone]
    if files and not inputs:
        return f"the store no longer has {min(files)}, a file of the project: submit again"
    return ""


def _upstream_outputs(going: GoingRun, stage: Stage) -> _Outputs:
    entries = going.progress.entries
    upstream = active_upstream(going.state.project.pipeline, stage.name)
    return {name: entries[name].outs for name in upstream if name in entries}


def _readers(going: GoingRun, stage: Stage) -> list[Stage]:
    """Stages that have succeeded with what `stage` made before."""
    project, stages = going.state.project, going.progress.stages
    return [
        reader
        for reader in project.stages
        if stage.name in active_upstream(project.pipeline, reader.name)
        and stages[reader.name].state == State.SUCCEEDED
    ]
