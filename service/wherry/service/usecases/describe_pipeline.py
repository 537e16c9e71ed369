"""Resolve a project's pipeline, for showing it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from wherry.service.domain.dvc.graph import connected, reachable, topological_order
from wherry.service.domain.dvc.outputs_graph import build_outputs_graph
from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage, StageName
from wherry.service.domain.dvc.targets import TargetFinder
from wherry.service.domain.paths import ProjectPath, is_within
from wherry.service.domain.submission import Needs, Selection, Submission
from wherry.service.usecases.read_project import ReadProject

_Node = TypeVar("_Node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A pipeline and the part of it that was asked for."""

    pipeline: Pipeline
    folder: ProjectPath
    """From which it is looked at."""
    shown: tuple[StageName, ...]
    """Stages and data sources in topological order."""
    outputs: Mapping[ProjectPath, tuple[ProjectPath, ...]] = field(default_factory=dict)
    """Outputs in DVC's order, each with those it is made from; empty unless asked for."""


class DescribePipeline:
    """Reads a project as a run would, and stops there."""

    def __init__(self, read: ReadProject) -> None:
        """Read projects through `read`."""
        self._read = read

    async def __call__(
        self, submission: Submission, *, full: bool = False, outputs: bool = False
    ) -> Description | Needs:
        """Show the targets with all they depend on, frozen or not; with `full` all they are connected with.

        Targets may be outputs. Without any the whole project is shown, not only one dvc.yaml.
        """
        # Targets of a drawing are not those of a run, so they do not select what is read.
        everything = replace(submission, targets=(), selection=Selection(all_pipelines=True))
        project = await self._read(everything)
        if isinstance(project, Needs):
            return project
        return describe(project.pipeline, project.snapshot.files, submission, full=full, outputs=outputs)


def describe(
    pipeline: Pipeline, files: Collection[ProjectPath], submission: Submission, *, full: bool, outputs: bool
) -> Description:
    """Choose what is shown of a pipeline; `files` are those of the project.

    Raises:
        StageUnknown: if a target is neither a stage nor an output.
    """
    finder = TargetFinder(pipeline, submission.working_folder, files)
    found = [finder.find_granular(target) for target in submission.targets if target]
    names = [name for stages, _ in found for name in stages]
    return Description(
        pipeline=pipeline,
        folder=submission.working_folder,
        shown=_shown(pipeline, names, full=full),
        outputs=_outputs(pipeline, found, full=full) if outputs else {},
    )


def _shown(pipeline: Pipeline, names: Collection[StageName], *, full: bool) -> tuple[StageName, ...]:
    order = topological_order(pipeline, through_frozen=True)
    chosen = _around(names, pipeline.upstream, full=full) if names else set(order)
    return tuple(name for name in order if name in chosen)


def _outputs(
    pipeline: Pipeline, found: list[tuple[list[StageName], ProjectPath | None]], *, full: bool
) -> Mapping[ProjectPath, tuple[ProjectPath, ...]]:
    """An output that was named stands for itself, a stage for all its outputs."""
    upstream = build_outputs_graph(pipeline)
    items: Mapping[StageName, Stage | DataSource] = {**pipeline.stages, **pipeline.sources}
    starts = {
        out.project_path
        for names, path in found
        for name in names
        for out in items[name].outs
        if path is None or is_within(path, out.project_path)
    }
    chosen = _around(starts, upstream, full=full) if starts else upstream.keys()
    return {path: producers for path, producers in upstream.items() if path in chosen}


def _around(
    starts: Collection[_Node], upstream: Mapping[_Node, tuple[_Node, ...]], *, full: bool
) -> set[_Node]:
    if full:
        return connected(starts, upstream)
    return reachable(starts, lambda name: upstream.get(name, ()))
