"""A pipeline as DVC means it: stages, data sources, and how they are addressed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NewType

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import Place
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings
from wherry.service.domain.records import OutputKind

StageName = NewType("StageName", str)
"""A stage's address from the DVC root: "train", "sub/dvc.yaml:train", or the path of a .dvc file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A file or folder that a stage declares to read."""

    path: str
    """As written, relative to wdir; an absolute path into the project is made relative."""
    project_path: ProjectPath
    place: Place | None = field(default=None, compare=False)
    """Where it is declared, kept of what lies outside the DVC root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamsDependency:
    """Parameters of one file that a stage declares to read."""

    path: str
    """Normalised relative to wdir: DVC records it so."""
    project_path: ProjectPath
    keys: tuple[str, ...] | None
    """Declared keys; None: the whole file."""
    place: Place | None = field(default=None, compare=False)
    """As of a Dependency."""
    written: str = ""
    """As written, where that is not `path`: DVC records `path`, looks for this, and so never finds it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file or folder that a stage declares to write."""

    path: str
    """As written, relative to wdir."""
    project_path: ProjectPath
    kind: OutputKind
    cache: bool = True
    persist: bool = False
    """Whether the stage starts from what the output was before."""
    push: bool = True
    place: Place | None = field(default=None, compare=False)
    """As of a Dependency."""
    plot: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """How it is to be shown, for a plot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of a dvc.yaml, resolved."""

    name: StageName
    file: ProjectPath
    """The dvc.yaml that declares it."""
    key: str
    """Its name within that file."""
    place: Place
    cmd: str | tuple[str, ...]
    """As in dvc.yaml: a string is run line by line, a list element by element."""
    wdir: ProjectPath
    wdir_place: Place | None = field(default=None, compare=False)
    """Where it is written, if it is another folder than that of the file."""
    deps: tuple[Dependency, ...] = ()
    params: tuple[ParamsDependency, ...] = ()
    """One entry a file, the default params.yaml first."""
    outs: tuple[Output, ...] = ()
    """Outputs, metrics and plots, in the order of dvc.yaml."""
    frozen: bool = False
    always_changed: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The mapping under meta.wherry, not yet checked."""
    settings_place: Place | None = None
    settings_places: Mapping[str, Place] = field(default_factory=dict)
    """Where each key of it stands."""

    @property
    def inputs(self) -> tuple["Dependency | ParamsDependency", ...]:
        """Dependencies, then params files."""
        return (*self.deps, *self.params)

    @property
    def runs_always(self) -> bool:
        """Whether DVC takes it for changed at every run: asked for, or without any dep, parameter and output."""
        return self.always_changed or not (self.deps or self.params or self.outs)

    @property
    def persistent_outs(self) -> tuple[Output, ...]:
        """Outputs that are there when the stage starts, as they were."""
        return tuple(out for out in self.outs if out.persist)

    @property
    def commands(self) -> tuple[str, ...]:
        """The shell invocations, in order: the lines of a string, the elements of a list."""
        if isinstance(self.cmd, str):
            return tuple(self.cmd.splitlines())
        return self.cmd


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOutput:
    """Data that a .dvc file tracks, as recorded there."""

    path: str
    project_path: ProjectPath
    place: Place
    """Of the entry."""
    hash: BlobHash | None
    """None: the file records none that could be compared."""
    total_bytes: int | None
    nfiles: int | None
    executable: bool = False
    is_legacy: bool = False
    """Whether the hash is one of DVC 2, which names text with Windows line ends otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A .dvc file: data that no stage makes."""

    name: StageName
    """The path of the .dvc file."""
    file: ProjectPath
    place: Place
    outs: tuple[SourceOutput, ...]
    origins: tuple[str, ...] = ()
    """Of an import that is not frozen: from where it came. DVC looks there for something newer."""
    frozen: bool = False
    """Also if the file says `locked`, as it was called once."""
    always_changed: bool = False
    has_wrong_checksum: bool = False
    """Whether the file has a checksum of itself, as DVC 1 wrote it, or is an import without one; DVC 3 takes such a
    file for changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """All stages and data sources of a project, checked against each other."""

    stages: Mapping[StageName, Stage]
    """In the order in which files and their stages are read."""
    sources: Mapping[StageName, DataSource]
    around: Surroundings = NOWHERE
    """Where the project lies."""
    upstream: Mapping[StageName, tuple[StageName, ...]]
    """For each stage, the stages and sources it reads from, in the order of its deps, then params."""

    @property
    def outputs(self) -> Mapping[ProjectPath, StageName]:
        """Which stage writes which path."""
        return {out.project_path: stage.name for stage in self.stages.values() for out in stage.outs}
