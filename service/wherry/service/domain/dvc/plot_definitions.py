"""Plots as a project defines them: under `plots` on the top level of dvc.yaml, and as outputs of stages."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wherry.service.domain.dvc.context import folder_of
from wherry.service.domain.dvc.project_results import ProjectResults
from wherry.service.domain.paths import ProjectPath, Surroundings, relative_to
from wherry.service.domain.records import OutputKind

Properties = Mapping[str, Any]
Expanded = Mapping[ProjectPath, Sequence[ProjectPath]]
"""For each path, the files that stand there: itself, or those of the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotGroup:
    """The plots of one definition or output. All is named as seen from the working folder."""

    file: str
    """The dvc.yaml of a definition; empty for outputs."""
    declared_in: str
    name: str
    """As it is written, or of an output its path."""
    plots: Mapping[str, Properties]


def plot_paths(project: ProjectResults, around: Surroundings) -> list[ProjectPath]:
    """List the files and folders that plots are, as far as their name is a path."""
    defined = (
        around.resolve(folder_of(one.file), name)
        for one in project.declared
        for name, properties in _definitions(one.plots).items()
        if _is_path(properties)
    )
    return list(dict.fromkeys([*defined, *(path for _, path, _ in _outputs(project))]))


def plot_groups(
    project: ProjectResults, around: Surroundings, expanded: Expanded, folder: ProjectPath
) -> list[PlotGroup]:
    """Gather the plots, definitions first. Of a file below several folders the definition nearest to it counts."""
    groups: list[PlotGroup] = []
    for one in project.declared:
        definitions, here = _definitions(one.plots), folder_of(one.file)
        config = relative_to(one.file, folder)
        parents = [around.resolve(here, name) for name in definitions]
        for name, properties in definitions.items():
            if _is_path(properties):
                path = around.resolve(here, name)
                files = [file for file in expanded[path] if _nearest(file, parents) == path]
                plots = {relative_to(file, folder): properties for file in files}
            else:
                plots = {name: _with_paths(properties, posixpath.dirname(config))}
            groups.append(PlotGroup(file=config, declared_in=config, name=name, plots=plots))
    for file, path, properties in _outputs(project):
        groups.append(
            PlotGroup(
                file="",
                declared_in=relative_to(file, folder),
                name=relative_to(path, folder),
                plots={relative_to(one, folder): properties for one in expanded[path]},
            )
        )
    return groups


def headerless(project: ProjectResults) -> set[ProjectPath]:
    """Find the outputs that are said to have no header."""
    return {path for _, path, properties in _outputs(project) if properties.get("header") is False}


def _definitions(items: Iterable[Any]) -> dict[str, Properties]:
    found: dict[str, Properties] = {}
    for item in items:
        if isinstance(item, str):
            found[item] = {}
        elif isinstance(item, Mapping):
            # Of an item only the first entry counts.
            found |= {str(name): properties or {} for name, properties in list(item.items())[:1]}
    return found


def _outputs(project: ProjectResults) -> list[tuple[ProjectPath, ProjectPath, Properties]]:
    return [
        (stage.file, out.project_path, out.plot)
        for stage in project.stages
        for out in stage.outs
        if out.kind is OutputKind.PLOT
    ]


def _is_path(properties: Properties) -> bool:
    return not isinstance(properties.get("y"), Mapping)


def _with_paths(properties: Properties, folder: str) -> dict[str, Any]:
    """Name the files of the axes as seen from the working folder."""
    found = dict(properties)
    for axis in ("x", "y"):
        files = found.get(axis)
        if isinstance(files, Mapping):
            found[axis] = {
                posixpath.normpath(posixpath.join(folder, str(file))): fields
                for file, fields in files.items()
            }
    return found


def _nearest(path: ProjectPath, parents: Iterable[ProjectPath]) -> str:
    best = ""
    for parent in parents:
        common = posixpath.commonpath([path, parent])
        if len(common) > len(best):
            best = common
    return best
