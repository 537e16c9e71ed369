"""Read what a revision of a project declares as metrics, params and plots, and what it records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.params_section import DEFAULT_PARAMS_FILE
from wherry.service.domain.dvc.plot_data import is_image, read_plot_data
from wherry.service.domain.dvc.plot_definitions import PlotGroup, headerless, plot_groups, plot_paths
from wherry.service.domain.dvc.project_results import (
    ProjectResults,
    RecordedDependency,
    RecordedOutput,
    read_project_results,
)
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.dvc.tracked_values import (
    Unreadable,
    Value,
    absent,
    metric_files,
    params_files,
    read_metric,
    read_params_values,
    used_values,
)
from wherry.service.domain.dvc.view import PlacedData
from wherry.service.domain.errors import BlobMissing
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.records import OutputKind
from wherry.service.domain.run import FileRecord, StageRecord
from wherry.service.domain.snapshot import Snapshot
from wherry.service.domain.states import State
from wherry.service.domain.submission import Needs
from wherry.service.usecases.find_contents import FindContents, FoundFile, Revision
from wherry.service.usecases.read_dvc_files import ReadDvcFiles

FileValues = Mapping[ProjectPath, Value | Unreadable]
_Found = Mapping[ProjectPath, Sequence[FoundFile]]
_Contents = Mapping[ProjectPath, bytes]
_Recorded = TypeVar("_Recorded", RecordedDependency, RecordedOutput)


class ResultKind(StrEnum):
    """What can be asked of a revision."""

    METRICS = "metrics"
    PARAMS = "params"
    PLOTS = "plots"
    RECORDS = "records"
    PLOT_DATA = "plot data"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultQuery:
    """What is asked of a revision."""

    kinds: frozenset[ResultKind]
    targets: tuple[ProjectPath, ...] = ()
    """Files or folders, whether or not they are declared, and none else."""
    stage_params_only: bool = False
    folder: ProjectPath = ROOT
    """From where plots are seen."""
    no_header: bool = False
    """Tables of plots have no header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotDefinitions:
    """How plots are defined."""

    groups: Sequence[PlotGroup]
    targets: Mapping[ProjectPath, Sequence[ProjectPath]]
    """Of the targets that are there, their files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What was asked for; what was not is None."""

    metrics: FileValues | None = None
    params: FileValues | None = None
    deps: Sequence[RecordedDependency] | None = None
    outs: Sequence[RecordedOutput] | None = None
    """Without metrics and plots."""
    plots: PlotDefinitions | None = None
    plot_data: Mapping[ProjectPath, Value | Unreadable | Digest] | None = None
    """Of an image, what it is."""


class ReadResults:
    """Reads files of values, nothing else of a project's data."""

    def __init__(self, *, read: ReadDvcFiles, find: FindContents) -> None:
        """Read the project's DVC files through `read`, and find files of values with `find`."""
        self._read = read
        self._find = find

    async def __call__(
        self,
        snapshot: Snapshot,
        query: ResultQuery,
        stages: Mapping[StageName, StageRecord] | None = None,
    ) -> Results | Needs:
        """Answer the query. With the `stages` of a run, of whose project the snapshot is, what they made counts.

        Raises:
            PipelineInvalid: if a DVC file of the project is wrong.
        """
        project = await self._read(snapshot, read_project_results)
        if isinstance(project, Needs):
            return project
        revision = Revision(
            snapshot=snapshot,
            outputs=list(project.outputs()),
            made=_made(project, stages or {}),
            is_open=stages is None,
        )
        # All questions to the client at once: each costs a round.
        metrics = list(query.targets) or metric_files(project.declared)
        keys = _params_of(project, query, snapshot)
        wanted = [
            *(metrics if ResultKind.METRICS in query.kinds else ()),
            *(keys if ResultKind.PARAMS in query.kinds else ()),
            *(plot_paths(project, snapshot.around) if ResultKind.PLOTS in query.kinds else ()),
            *(query.targets if query.kinds & {ResultKind.PLOTS, ResultKind.PLOT_DATA} else ()),
        ]
        found = await self._find(revision, wanted)
        if isinstance(found, Needs):
            return found
        answer = Results()
        if ResultKind.PLOTS in query.kinds:
            answer = replace(answer, plots=_plots(project, query, found, snapshot))
        contents = await self._contents(revision, found) if query.kinds - {ResultKind.PLOTS} else {}
        if isinstance(contents, Needs):
            return contents
        if ResultKind.PLOT_DATA in query.kinds:
            answer = replace(answer, plot_data=_plot_data(project, query, found, contents))
        if ResultKind.METRICS in query.kinds:
            answer = replace(answer, metrics=_metrics(metrics, found, contents))
        if ResultKind.PARAMS in query.kinds:
            used = {} if query.targets else used_values(project.declared)
            answer = replace(answer, params=_params(keys, found, contents, used))
        if ResultKind.RECORDS in query.kinds:
            records = list((stages or {}).values())
            answer = replace(answer, deps=_dependencies(project, records), outs=_outputs(project, records))
        return answer

    async def _contents(self, revision: Revision, found: _Found) -> _Contents | Needs:
        """Read what was found; of what has gone from the store nothing is read."""
        files = [file for files in found.values() for file in files]
        try:
            return await self._find.read(revision, files)
        except BlobMissing:
            held = await self._find.held(files)
            return await self._find.read(revision, held)


def _params_of(
    project: ProjectResults, query: ResultQuery, snapshot: Snapshot
) -> Mapping[ProjectPath, Sequence[str]]:
    if query.targets:
        return dict.fromkeys(query.targets, ())
    return params_files(
        project.declared,
        stage_params_only=query.stage_params_only,
        has_default=DEFAULT_PARAMS_FILE in snapshot.files,
    )


def _metrics(paths: Sequence[ProjectPath], found: _Found, contents: _Contents) -> FileValues:
    values: dict[ProjectPath, Value | Unreadable] = {}
    for path in paths:
        for file in found[path]:
            data = contents.get(file.path)
            values[file.path] = absent(file.path) if data is None else read_metric(data, file.path)
    return values


def _params(
    keys: Mapping[ProjectPath, Sequence[str]],
    found: _Found,
    contents: _Contents,
    used: Mapping[ProjectPath, Mapping[str, Any]],
) -> FileValues:
    """Values of templates count where a file is not shown anyway."""
    values: dict[ProjectPath, Value | Unreadable] = {}
    for path, named in keys.items():
        for file in found[path]:
            data = contents.get(file.path)
            values[file.path] = (
                absent(file.path) if data is None else read_params_values(data, file.path, named)
            )
    for path, taken in used.items():
        values.setdefault(path, Value(taken))
    return values


def _plots(project: ProjectResults, query: ResultQuery, found: _Found, snapshot: Snapshot) -> PlotDefinitions:
    expanded = {path: [file.path for file in files] for path, files in found.items()}
    return PlotDefinitions(
        groups=plot_groups(project, snapshot.around, expanded, query.folder),
        targets={
            target: expanded[target]
            for target in query.targets
            if any(file.digest is not None for file in found[target])
        },
    )


def _plot_data(
    project: ProjectResults, query: ResultQuery, found: _Found, contents: _Contents
) -> dict[ProjectPath, Value | Unreadable | Digest]:
    bare = headerless(project)
    values: dict[ProjectPath, Value | Unreadable | Digest] = {}
    for file in (file for target in query.targets for file in found[target]):
        data = contents.get(file.path)
        if data is None or file.digest is None:
            values[file.path] = absent(file.path)
        elif is_image(file.path):
            values[file.path] = file.digest
        else:
            header = not (query.no_header or file.path in bare)
            values[file.path] = read_plot_data(data, file.path, header=header)
    return values


def _made(
    project: ProjectResults, records: Mapping[StageName, StageRecord]
) -> dict[ProjectPath, PlacedData | None]:
    made: dict[ProjectPath, PlacedData | None] = {}
    for stage in project.stages:
        if stage.name not in records:
            continue
        made |= {out.project_path: None for out in stage.outs}
        for out in records[stage.name].outs if records[stage.name].state is State.SUCCEEDED else ():
            made[out.path] = PlacedData(
                hash=out.hash, total_bytes=out.size_bytes, nfiles=out.nfiles, executable=out.executable
            )
    return made


def _dependencies(project: ProjectResults, records: Sequence[StageRecord]) -> list[RecordedDependency]:
    known = {dep.path: dep for record in records for dep in record.deps}
    return [_as_run(dep, known.get(dep.path)) for dep in project.dependencies()]


def _outputs(project: ProjectResults, records: Sequence[StageRecord]) -> list[RecordedOutput]:
    known = {out.path: out for record in records for out in record.outs}
    return [_as_run(out, known.get(out.path)) for out in project.outputs() if out.kind is OutputKind.OUT]


def _as_run(recorded: _Recorded, known: FileRecord | None) -> _Recorded:
    if known is None:
        return recorded
    return replace(recorded, hash=known.hash, size_bytes=known.size_bytes, nfiles=known.nfiles)
