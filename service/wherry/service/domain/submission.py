"""What a client asks for, and what the service may answer instead of doing it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.settings import StageSettings
from wherry.service.domain.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How targets are read, and what is taken with them: the flags of `dvc repro`, with its meaning."""

    glob: bool = False
    """Names in targets are shell patterns."""
    recursive: bool = False
    """A target that is a folder stands for all stages below it."""
    single_item: bool = False
    """The targets alone."""
    whole_pipelines: bool = False
    """All that is connected with the targets."""
    all_pipelines: bool = False
    """Everything; targets do not count."""
    downstream: bool = False
    """What depends on the targets, instead of what they depend on."""
    force_downstream: bool = False
    """Force the stages that read from one that was not up to date."""
    output_targets: bool = False
    """A target that names no stage may be an output, and stands for the stage that writes it."""

    @property
    def is_single(self) -> bool:
        """Whether nothing but the targets is meant: `-p` and `-P` go before `-s`."""
        return self.single_item and not (self.whole_pipelines or self.all_pipelines)


NO_FLAGS = Selection()


class Composition(StrEnum):
    """When params.yaml is composed by Hydra, in a project that enables it."""

    WITH_CHANGES = "with changes"
    """When there are set_params: `dvc repro` does not compose, and has no `-S`."""
    ALWAYS = "always"
    """As `dvc exp run`."""
    NEVER = "never"
    """As `dvc exp run --no-hydra`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A project and what is wanted of it."""

    project: str
    user: str
    snapshot: Snapshot
    working_folder: ProjectPath = ROOT
    targets: tuple[str, ...] = ()
    selection: Selection = NO_FLAGS
    set_params: tuple[str, ...] = ()
    composition: Composition = Composition.WITH_CHANGES
    image: str = ""
    """Image for every stage, over all settings; empty: as the settings say."""
    settings: StageSettings = field(default_factory=StageSettings)
    """Settings for every stage, over those of the project; secrets are added to them."""
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
    priority: int = 0
    """From -100 to 100: the larger goes first."""
    labels: Mapping[str, str] = field(default_factory=dict)
    from_stages: tuple[str, ...] = ()
    """Stages that run whatever is known, with all that depend on them."""
    forced: frozenset[StageName] = frozenset()
    """These, found in the project."""
    timeout_s: float | None = None
    """Seconds from the start of the run after which it is stopped as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNeed:
    """Data that the client should look at."""

    path: ProjectPath
    recorded_hash: str
    """What a .dvc file says it is; empty when none does."""
    declared_in: str
    legacy: bool = False
    """Whether its hash of DVC 2 is needed: one is recorded, and it is not that of the content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the client must provide before it asks again."""

    blobs: tuple[Digest, ...] = ()
    are_sources: bool = False
    """Whether the blobs are files of the project, of which the small ones may be kept in packs."""
    data: tuple[DataNeed, ...] = ()
