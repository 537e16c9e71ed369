"""Refuse a project with a stage that asks for more than there is: it would wait for ever."""

from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.resources import Machine, find_excess
from wherry.service.usecases.read_project import Project


def require_resources(project: Project, machine: Machine) -> None:
    """Look at every selected stage. A frozen one never runs.

    Raises:
        PipelineInvalid: naming the first stage that asks for too much, what it asks for, and what there is.
    """
    for stage in project.stages:
        excess = None if stage.frozen else find_excess(project.settings[stage.name], machine)
        if excess is not None:
            raise PipelineInvalid(
                f"stage {stage.name!r} {excess}",
                hint="Ask for less: in meta.wherry of the stage, in [defaults] of .dvc/wherry.toml, or with a flag.",
                place=stage.settings_place or stage.place,
            )
