"""Of the stages that can go, take those whose results are known: many in one go.

What a stage costs by itself, when its result is known, is mostly its own task, its own questions and its own waiting for the
answers. What many need is read once here, their results are asked for together, and nothing is awaited between. Whatever is
not plain is left to whoever attempts stages one by one, who would come to the same.
"""

import contextlib
from collections.abc import Collection, Sequence

from wherry.service.domain.dvc.graph import active_upstream
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.errors import WherryError
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.run import StageRecord
from wherry.service.domain.states import State
from wherry.service.domain.task import StageTask
from wherry.service.ports.clock import Clock
from wherry.service.usecases.attempt_stage import GoingRun
from wherry.service.usecases.find_result import FindResult, Known
from wherry.service.usecases.known_runner import as_known
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.resolve_stage import ResolveStage
from wherry.service.usecases.stage_records import inputs_of, note_of_hit, success_of, undeclared_deps

# About 20 ms, after which others go on and the first of them are told.
_AT_ONCE = 200

_NONE: Collection[StageName] = frozenset()


class TakeKnown:
    """Records stages that a known result of the service's own stands for."""

    def __init__(self, *, resolve: ResolveStage, find: FindResult, note_use: NoteUse, clock: Clock) -> None:
        """Find inputs with `resolve` and results with `find`."""
        self._resolve = resolve
        self._find = find
        self._note_use = note_use
        self._clock = clock

    async def __call__(self, going: GoingRun, stages: Sequence[Stage]) -> list[Stage]:
        """Return the stages that are left, in their order: nothing has been recorded of them."""
        left = list[Stage]()
        for start in range(0, len(stages), _AT_ONCE):
            part, taken = stages[start : start + _AT_ONCE], _NONE
            if plain := [stage for stage in part if _is_plain(going, stage)]:
                # What is wrong with one of them, or with what all stand on, each hears by itself.
                with contextlib.suppress(WherryError):
                    taken = await self._take(going, plain)
            left.extend(stage for stage in part if stage.name not in taken)
        return left

    async def _take(self, going: GoingRun, stages: Sequence[Stage]) -> Collection[StageName]:
        """Record what is known of these; returns which that were."""
        stood_on = {stage.name: _upstream_outs(going, stage) for stage in stages}
        await self._resolve.load(going.state, stages)
        resolved = [self._resolve.at_once(going.state, stage, run_id=going.run.id) for stage in stages]
        tasks = [task for task in resolved if task is not None]
        answers = await self._find.at_once(tasks)
        known = [
            (task, answer)
            for task, answer in zip(tasks, answers, strict=True)
            if answer is not None
            and not _is_of(going, answer)
            # What it stands on may have been made anew meanwhile.
            and _upstream_outs(going, task.stage) == stood_on[task.stage.name]
        ]
        self._record(going, known)
        return {task.stage.name for task, _ in known}

    def _record(self, going: GoingRun, known: Sequence[tuple[StageTask, Known]]) -> None:
        now, notes = self._clock.now(), list[tuple[StageRecord, str]]()
        for task, answer in known:
            stage, outcome = task.stage, as_known(answer, task)
            # Inputs as they are written here: a result may come from a project that spells them otherwise.
            entry = StageEntry(cmd=stage.cmd, deps=task.deps, params=task.params, outs=outcome.entry.outs)
            going.state.add_outputs(stage, entry)
            going.progress.entries[stage.name] = entry
            success = success_of(stage, outcome)
            record = StageRecord(
                name=stage.name,
                since=now,
                undeclared_deps=undeclared_deps(stage, success["undeclared"], going.state.outputs),
                **inputs_of(task),
                **success,
            )
            notes.append((record, note_of_hit(outcome)))
        self._note_use(out.hash for _, answer in known for out in answer.entry.outs)
        going.progress.note_known(notes)


def _is_plain(going: GoingRun, stage: Stage) -> bool:
    """Whether a known result may stand for the stage, as it does for most."""
    options, record = going.options, going.progress.stages[stage.name]
    if options.force or options.no_run_cache or going.state.project.submission.selection.force_downstream:
        return False
    # What has come some way in this run, or in an earlier life of the service, has more to it.
    is_fresh = record.state is State.QUEUED and record.since is None and not record.attempt
    return is_fresh and not stage.frozen and stage.name not in options.forced


def _is_of(going: GoingRun, known: Known) -> bool:
    """Whether this very run has made the result."""
    return known.result is not None and known.result.run_id == going.run.id


def _upstream_outs(going: GoingRun, stage: Stage) -> list[tuple[FileEntry, ...] | None]:
    entries = going.progress.entries
    upstream = active_upstream(going.state.project.pipeline, stage.name)
    return [entries[name].outs if name in entries else None for name in upstream]
