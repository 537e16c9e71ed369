"""A stage made ready to be attempted, and how an attempt can end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.dvc.run_cache import dvc_key_of
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.reads import ProjectFiles, Reads
from wherry.service.domain.records import FileEntry, Params, StageEntry
from wherry.service.domain.settings import StageSettings, Undeclared
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.states import CacheUse, HitSource
from wherry.service.domain.usage import NOTHING_COUNTED, Usage

RunId = NewType("RunId", str)
"""A number, as text. Unique on a service."""

AttemptId = NewType("AttemptId", str)
"""Unique over all attempts ever: names workspaces and containers."""

LogName = NewType("LogName", str)
"""Names the kept output of an attempt: the attempt's own name."""

StrictKey = NewType("StrictKey", str)
"""SHA-256 over all that a result may depend on, 64 hex digits."""

LeaseToken = NewType("LeaseToken", str)
"""Of one holder of a lease, for one execution; never used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputData:
    """A dependency that does not stand in the snapshot's files: produced, tracked, or ignored data."""

    project_path: ProjectPath
    hash: BlobHash
    executable: bool = False
    writable: bool = False
    """Whether it is a persistent output, which the stage goes on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """One stage with every input known: enough to find its result or to make it."""

    run_id: RunId
    user: str
    project: str = ""
    """Whose secrets the stage may get."""
    stage: Stage
    deps: tuple[FileEntry, ...]
    """In lock order: sorted by path as written."""
    params: Params
    image: Image
    environment: Mapping[str, str]
    network: bool
    network_withheld: str = ""
    """Why a stage that would have a network has none."""
    settings: StageSettings = field(default_factory=StageSettings)
    """All that is said of the container: by the command line, the stage and the project."""
    gpus: tuple[int, ...] = ()
    """GPUs that are its own while it runs, by index."""
    key: StrictKey
    files: Mapping[ProjectPath, SnapshotFile] = field(repr=False)
    """The project's own files to lay out, outputs of stages left out."""
    data: tuple[InputData, ...]
    """Inputs to lay out beside them."""
    root_at: ProjectPath = ROOT
    """The DVC root as seen from the top of the repository, which is the top of the workspace."""
    previous: Mapping[str, FileEntry | None] = field(default_factory=dict)
    """What persistent outputs are before the stage runs, by path as written; None: nothing."""
    ignore: IgnoreRules = field(repr=False, default_factory=lambda: IgnoreRules({}))
    """What of folders does not count."""
    use_cache: bool
    """Whether a known result may be used."""
    forced: bool = False
    """Whether it is to run even if dvc.lock says that nothing changed."""
    cacheable: bool
    """Whether the result may be kept."""
    restores: bool = False
    """Whether it runs because its outputs went from the store: they are stored again, whatever is believed to be held."""
    fence: LeaseToken | None = None
    """With a lease: its token, without which the result may not be kept."""
    recorded: StageEntry | None = field(repr=False, default=None)
    """What the project's dvc.lock says of the stage."""
    trusts_dvc: bool = False
    """Whether what laptops recorded may stand for running the stage."""
    legacy_deps: tuple[FileEntry, ...] | None = None
    """`deps` as DVC writes them, where dvc.lock has hashes of DVC 2 that are still right; None: it has none."""
    project_files: ProjectFiles = field(repr=False, default_factory=lambda: ProjectFiles({}))
    """All files of the project, as one."""

    @property
    def dvc_key(self) -> str | None:
        """Key of DVC's own run cache; None when DVC would not keep this stage. Computed when asked for: a known result needs none."""
        return dvc_key_of(self.stage, self.deps, self.params)

    @property
    def undeclared(self) -> Undeclared:
        """What becomes of reads of files that the stage does not declare."""
        return self.settings.undeclared or Undeclared.WARN

    @property
    def may_share(self) -> bool:
        """Whether an execution that others have begun may stand for this one."""
        return self.cacheable and self.use_cache and not self.restores

    @property
    def recorded_deps(self) -> tuple[FileEntry, ...]:
        """What DVC would write for `deps` into dvc.lock as it is."""
        return self.deps if self.legacy_deps is None else self.legacy_deps


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The stage has its outputs, computed now or known before."""

    entry: StageEntry
    cache: CacheUse
    wall_s: float
    """Seconds of the command; for a hit, those of the original."""
    from_run: RunId | None = None
    from_user: str | None = None
    source: HitSource | None = None
    """For a hit."""
    undeclared: Reads | None = field(default_factory=Reads)
    """What was read without being declared; None: nobody looked."""
    usage: Usage = NOTHING_COUNTED
    """For a hit, that of the original."""
    earlier: tuple["Failed", ...] = ()
    """Attempts at it before that failed, in order."""
    log: LogName | None = None
    """What the command wrote, where that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The stage's own command is at fault. An answer, not an error of ours."""

    reason: str
    """One sentence for the user."""
    exit_code: int | None
    wall_s: float | None
    usage: Usage = NOTHING_COUNTED
    earlier: tuple["Failed", ...] = ()
    """Attempts before this one, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Somebody asked to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Infrastructure gave way; the command is not to blame."""

    reason: str
    may_pass: bool = False
    """Whether it may be over in a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    """The store does not have an input that was held before. Not an end: what made it can make it again."""

    reason: str


Outcome = Succeeded | Failed | Cancelled | Lost | Vanished
