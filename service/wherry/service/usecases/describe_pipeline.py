"""Resolve a project's pipeline, for showing it."""

from dataclasses import dataclass

from wherry.service.domain.dvc.graph import topological_order
from wherry.service.domain.dvc.stage import Pipeline, StageName
from wherry.service.domain.submission import Needs, Submission
from wherry.service.usecases.read_project import ReadProject


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A pipeline and the part of it that was asked for."""

    pipeline: Pipeline
    shown: tuple[StageName, ...]
    """Stages and data sources in topological order."""


class DescribePipeline:
    """Reads a project as a run would, and stops there."""

    def __init__(self, read: ReadProject) -> None:
        """Read projects through `read`."""
        self._read = read

    async def __call__(self, submission: Submission) -> Description | Needs:
        """Without targets the whole pipeline is shown, not only that of one dvc.yaml."""
        project = await self._read(submission)
        if isinstance(project, Needs):
            return project
        shown = project.selected if submission.targets else topological_order(project.pipeline)
        return Description(pipeline=project.pipeline, shown=shown)
