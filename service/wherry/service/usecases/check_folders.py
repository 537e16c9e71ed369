"""Refuse a project with a stage whose wdir is not there: DVC fails when it comes to such a stage."""

from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ROOT, PathSet, is_inside_root, is_within
from wherry.service.usecases.read_project import Project


def require_folders(project: Project) -> None:
    """Look at every selected stage. A frozen one never runs.

    A folder is there when something is in it: a file of the project, data, an input, or what another stage makes. What
    only shows when that stage has run counts as there.

    Raises:
        PipelineInvalid: naming the first stage whose wdir is not there.
    """
    submitted = project.submission.snapshot
    there = PathSet(
        {
            *submitted.files,
            *(path for path, data in submitted.data.items() if data is not None),
            *(out.project_path for source in project.pipeline.sources.values() for out in source.outs),
            *(item.project_path for stage in project.stages for item in stage.inputs),
        }
    )
    for stage in project.stages:
        if stage.frozen or stage.wdir == ROOT or not is_inside_root(stage.wdir):
            continue
        if stage.wdir in submitted.files:
            raise PipelineInvalid(
                f"stage {stage.name!r}: its wdir {stage.wdir!r} is a file", place=stage.place
            )
        if not there.touches(stage.wdir) and not _is_made(stage, project):
            raise PipelineInvalid(
                f"stage {stage.name!r}: its wdir {stage.wdir!r} does not exist",
                hint="Keep a file in the folder: like git, a submission knows no empty ones. What a command makes in "
                "passing, other stages do not have: declare it as an output.",
                place=stage.place,
            )


def _is_made(stage: Stage, project: Project) -> bool:
    """Whether what another stage makes is the folder, lies in it, or has it."""
    return any(
        name != stage.name and (is_within(path, stage.wdir) or is_within(stage.wdir, path))
        for path, name in project.pipeline.outputs.items()
    )
