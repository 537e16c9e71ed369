"""What a stage's workspace has, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from wherry.service.domain.dvc.stage import Output
from wherry.service.domain.paths import ROOT, ProjectPath, resolve_project_path
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import InputData, StageTask
from wherry.service.usecases.undeclared_reads import shown_files


@dataclass(frozen=True, slots=True)
class Contents:
    """What is laid out, by paths from the top of the repository."""

    files: Mapping[ProjectPath, SnapshotFile]
    data: tuple[InputData, ...]
    folders: frozenset[ProjectPath]


def contents_of(task: StageTask) -> Contents:
    """What a stage's workspace has before the stage runs."""
    # DVC leaves the parents of outputs to the command; they are made here because a fresh
    # workspace has none of the folders that earlier runs left on a laptop.
    parents = {_parent(at) for at in outputs_at(task)}
    files, data = shown_files(task), task.data
    if task.root_at != ROOT:
        files = {at_in_workspace(task, path): file for path, file in files.items()}
        data = tuple(replace(item, project_path=at_in_workspace(task, item.project_path)) for item in data)
    folders = frozenset({task.root_at, at_in_workspace(task, task.stage.wdir), *parents})
    return Contents(files, data, folders)


def declared_outputs(task: StageTask) -> list[Output]:
    """The outputs in the order of dvc.lock."""
    return sorted(task.stage.outs, key=lambda out: out.path)


def outputs_at(task: StageTask) -> list[ProjectPath]:
    """Where the declared outputs are in the workspace."""
    return [at_in_workspace(task, out.project_path) for out in declared_outputs(task)]


def at_in_workspace(task: StageTask, path: ProjectPath) -> ProjectPath:
    """Where a path of the project is in the workspace, whose top is that of the repository."""
    return resolve_project_path(task.root_at, path)


def _parent(path: ProjectPath) -> ProjectPath:
    return ProjectPath(path.rpartition("/")[0]) if "/" in path else ROOT
