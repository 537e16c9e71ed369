"""A run and its stages, as told to people and kept in SQL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.images.image import NamedImage
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind
from wherry.service.domain.states import CacheUse, HitSource, Phase, State
from wherry.service.domain.task import AttemptId, LogName, RunId
from wherry.service.domain.usage import NOTHING_COUNTED, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file or folder by its path in the project."""

    path: ProjectPath
    hash: BlobHash
    size_bytes: int
    nfiles: int | None = None
    executable: bool = False
    kind: OutputKind | None = None
    """For outputs only."""
    cache: bool = True
    """For outputs: whether DVC keeps it in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """An attempt at a stage that was not its last."""

    reason: str
    """Why it failed."""
    exit_code: int | None = None
    wall_s: float | None = None
    usage: Usage = NOTHING_COUNTED


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage of a run."""

    name: StageName
    state: State = State.QUEUED
    cache: CacheUse | None = None
    key: str = ""
    from_run: RunId | None = None
    from_user: str = ""
    source: HitSource | None = None
    """For a hit; None also in records that were written before there were several."""
    attempt: int = 0
    node: str = ""
    image: str = ""
    exit_code: int | None = None
    reason: str = ""
    wall_s: float | None = None
    usage: Usage = NOTHING_COUNTED
    """Of the last attempt; for a hit, of the execution that made the result."""
    earlier: tuple[EndedAttempt, ...] = ()
    """Attempts that failed before the last one, in order."""
    deps: tuple[FileRecord, ...] = ()
    outs: tuple[FileRecord, ...] = ()
    params_json: str = ""
    undeclared: tuple[FileRecord, ...] = ()
    """Files of the project that were read without being declared."""
    undeclared_deps: tuple[str, ...] = ()
    """What to add to the stage's deps so that they are declared, as written there."""
    attempt_id: AttemptId | None = None
    """Whose output is kept: the newest attempt, or somebody else's that stands for it."""
    output_after: int = 0
    """Sequence number of the last line of the run before that output."""
    phase: Phase | None = None
    """What is being done within the state; None: nothing that has a name."""
    since: datetime | None = None
    """When it came into this state and phase; None for records that were kept before that was."""
    log: LogName | None = None
    """What the command wrote when the result was made, where that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run did not succeed."""

    reason: str
    message: str
    hint: str = ""


class WriteBackKind(StrEnum):
    """What a written-back file is."""

    LOCK = "lock"
    PARAMS = "params"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBack:
    """A file or folder that a run leaves in the project."""

    path: ProjectPath
    digest: Digest
    executable: bool
    submitted_hash: str
    """What the project had there when it was submitted; empty: nothing."""
    kind: WriteBackKind


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What is known of a run when it is accepted."""

    idempotency_key: str
    name: str
    """Empty: the store makes one up."""
    project: str
    user: str
    rev: str
    dirty: bool
    message: str
    created_at: datetime
    stages: tuple[StageName, ...]
    """In topological order."""
    snapshot: str = ""
    """Hash of the document in which its project is kept; empty: it is not."""
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    content: bytes = field(repr=False, default=b"")
    """The submission as it came: whoever took it in knows how to read it."""
    images: tuple[NamedImage, ...] = ()
    """What the names of images stand for in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One submission and what became of it."""

    id: RunId
    name: str
    project: str
    user: str
    rev: str
    dirty: bool
    message: str
    state: State
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    compute_s: float = 0.0
    saved_s: float = 0.0
    stages: Mapping[StageName, StageRecord]
    error: RunError | None = None
    write_backs: tuple[WriteBack, ...] = ()
    snapshot: str = ""
    """As of a NewRun."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the submitter sorts runs by."""
    priority: int = 0
    """What the submitter asked of the queue."""
    stop_requested: bool = False
    """Whether somebody asked to stop it; not told with events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a run: the new state of what it is about."""

    sequence: int
    """From 1, without gap within a run."""
    about: Run | StageRecord
    """A run comes without its stages."""
