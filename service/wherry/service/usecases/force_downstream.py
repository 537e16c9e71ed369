"""`--force-downstream`: what reads from a stage that was not up to date is run, whatever is known."""

from collections.abc import Collection

from wherry.service.domain.dvc.graph import active_upstream
from wherry.service.domain.dvc.lockfile import is_unchanged
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.records import StageEntry
from wherry.service.domain.task import StageTask
from wherry.service.usecases.find_result import whole_files
from wherry.service.usecases.read_project import Project


def is_forced(project: Project, stage: Stage, renewed: Collection[StageName]) -> bool:
    """Whether a stage must run because one before it is among `renewed`. As in DVC, `-s` knows no such thing."""
    selection = project.submission.selection
    if not selection.force_downstream or selection.is_single:
        return False
    return any(name in renewed for name in active_upstream(project.pipeline, stage.name))


def is_up_to_date(project: Project, task: StageTask) -> bool:
    """Whether `dvc repro` would leave the stage alone: dvc.lock records it as it is, and nothing forces it.

    A stage that changed counts as run even when a known result stands for it: DVC does the same when it restores
    from its run cache.
    """
    stage, recorded = task.stage, project.recorded(task.stage)
    if recorded is None or stage.runs_always or not task.use_cache:
        return False
    current = StageEntry(cmd=stage.cmd, deps=task.recorded_deps, params=task.params, outs=recorded.outs)
    return is_unchanged(recorded, current, whole_files=whole_files(stage))
