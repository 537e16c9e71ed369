"""Addresses of stages as DVC prints them: relative to the folder in which the command was given."""

from wherry.service.domain.dvc.pipeline_file import PIPELINE_FILE_NAME
from wherry.service.domain.dvc.stage import Pipeline, StageName
from wherry.service.domain.paths import ProjectPath, relative_to


def address_from(pipeline: Pipeline, name: StageName, folder: ProjectPath) -> str:
    """Write `train` for a stage of the folder's dvc.yaml, `../dvc.yaml:a` or `data/x.dvc` for others."""
    stage = pipeline.stages.get(name)
    if stage is None:
        return relative_to(ProjectPath(name), folder)
    file = relative_to(stage.file, folder)
    return stage.key if file == PIPELINE_FILE_NAME else f"{file}:{stage.key}"
