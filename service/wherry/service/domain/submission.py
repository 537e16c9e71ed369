"""What a client asks for, and what the service may answer instead of doing it."""

from dataclasses import dataclass

from wherry.service.domain.blob import Digest
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A project and what is wanted of it."""

    project: str
    user: str
    snapshot: Snapshot
    working_folder: ProjectPath = ROOT
    targets: tuple[str, ...] = ()
    set_params: tuple[str, ...] = ()
    image: str = ""
    """Image for every stage, over all settings; empty: as the settings say."""
    rev: str = ""
    dirty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a submission is to be run."""

    name: str = ""
    message: str = ""
    force: bool = False
    """Run every selected stage, whatever is known."""
    no_run_cache: bool = False
    """Do not look for results, but keep new ones."""
    keep_going: bool = False
    jobs: int = 0
    """Stages at once; 0: as many as the service allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNeed:
    """Data that the client should look at."""

    path: ProjectPath
    recorded_hash: str
    """What a .dvc file says it is; empty when none does."""
    declared_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the client must provide before it asks again."""

    blobs: tuple[Digest, ...] = ()
    data: tuple[DataNeed, ...] = ()
