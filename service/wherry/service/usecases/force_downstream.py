"""`--force-downstream`: what reads from a stage that was not up to date is run, whatever is known."""

from collections.abc import Collection

from wherry.service.domain.dvc.graph import active_upstream
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.task import StageTask
from wherry.service.usecases.find_result import stands_as_recorded
from wherry.service.usecases.read_project import Project


def is_forced(project: Project, stage: Stage, renewed: Collection[StageName]) -> bool:
    """Whether a stage must run because one before it is among `renewed`. As in DVC, `-s` knows no such thing."""
    selection = project.submission.selection
    if not selection.force_downstream or selection.is_single:
        return False
    return any(name in renewed for name in active_upstream(project.pipeline, stage.name))


def is_up_to_date(task: StageTask) -> bool:
    """Whether `dvc repro` would leave the stage alone: dvc.lock records it as it is, and nothing forces it.

    A stage that changed counts as run even when a known result stands for it: DVC does the same when it restores
    from its run cache.
    """
    recorded = task.recorded
    if recorded is None or task.stage.runs_always or not task.use_cache:
        return False
    return stands_as_recorded(task, recorded)
