"""All that a project's DVC files say about results and records, read without checking the graph, as DVC reads them."""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.collection import leave_out_files_in_outputs
from wherry.service.domain.dvc.context import Load
from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.declared_results import DeclaredResults, read_declared_results
from wherry.service.domain.dvc.dvc_config import CONFIG_FILE, parse_parsing_settings
from wherry.service.domain.dvc.lockfile import parse_lock
from wherry.service.domain.dvc.project_files import DvcFiles
from wherry.service.domain.dvc.stage import DataSource, Stage
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind, StageEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOutput:
    """An output and what is recorded of it."""

    path: ProjectPath
    hash: BlobHash | None
    """None: nothing is recorded."""
    size_bytes: int | None = None
    nfiles: int | None = None
    kind: OutputKind = OutputKind.OUT
    cache: bool = True
    is_source: bool = False
    """Whether it is data of a .dvc file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDependency:
    """A dependency of a stage and what is recorded of it."""

    path: ProjectPath
    hash: BlobHash | None
    size_bytes: int | None = None
    nfiles: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectResults:
    """What is declared and recorded in a project."""

    declared: tuple[DeclaredResults, ...]
    """One for each dvc.yaml, in the order in which DVC meets them."""
    sources: tuple[DataSource, ...]
    locks: Mapping[ProjectPath, Mapping[str, StageEntry]]
    """By dvc.yaml."""

    @property
    def stages(self) -> Iterator[Stage]:
        """All stages, in order."""
        return (stage for one in self.declared for stage in one.stages)

    def entry(self, stage: Stage) -> StageEntry | None:
        """What dvc.lock says of a stage."""
        return self.locks.get(stage.file, {}).get(stage.key)

    def outputs(self) -> Iterator[RecordedOutput]:
        """All outputs, those of .dvc files last."""
        for stage in self.stages:
            entry = self.entry(stage)
            recorded = {out.path: out for out in entry.outs} if entry else {}
            for out in stage.outs:
                known = recorded.get(out.path)
                yield RecordedOutput(
                    path=out.project_path,
                    hash=known.hash if known else None,
                    size_bytes=known.size_bytes if known else None,
                    nfiles=known.nfiles if known else None,
                    kind=out.kind,
                    cache=out.cache,
                )
        for source in self.sources:
            for data in source.outs:
                yield RecordedOutput(
                    path=data.project_path,
                    hash=data.hash,
                    size_bytes=data.total_bytes,
                    nfiles=data.nfiles,
                    is_source=True,
                )

    def dependencies(self) -> Iterator[RecordedDependency]:
        """All dependencies of stages on files."""
        for stage in self.stages:
            entry = self.entry(stage)
            recorded = {dep.path: dep for dep in entry.deps} if entry else {}
            for dep in stage.deps:
                known = recorded.get(dep.path)
                yield RecordedDependency(
                    path=dep.project_path,
                    hash=known.hash if known else None,
                    size_bytes=known.size_bytes if known else None,
                    nfiles=known.nfiles if known else None,
                )


def read_project_results(files: DvcFiles, load: Load) -> ProjectResults:
    """Read all DVC files of a project.

    Raises:
        FilesNeeded: as `load` does, when more files are to be fetched first.
        PipelineInvalid: if one is wrong.
    """
    parsing = parse_parsing_settings(load(CONFIG_FILE) or b"")
    declared = [
        read_declared_results(load(path) or b"", path, load=load, parsing=parsing, around=files.around)
        for path in files.pipelines
    ]
    sources = [parse_data_file(load(path) or b"", path, files.around) for path in files.sources]
    items: list[Stage | DataSource] = [*(stage for one in declared for stage in one.stages), *sources]
    met = {item.file for item in leave_out_files_in_outputs(items)}
    hidden = {item.file for item in items} - met
    locks: dict[ProjectPath, Mapping[str, StageEntry]] = {}
    for path in files.locks:
        beside = ProjectPath(posixpath.join(posixpath.dirname(path), "dvc.yaml"))
        content = None if beside in hidden else load(path)
        if content is not None:
            locks[beside] = parse_lock(content, path)
    return ProjectResults(
        declared=tuple(one for one in declared if one.file not in hidden),
        sources=tuple(source for source in sources if source.file not in hidden),
        locks=locks,
    )
