"""What of a project is to be run, and how: values, without anything that is slow to load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of the project is meant, and with which changes."""

    targets: Sequence[str] = ()
    glob: bool = False
    recursive: bool = False
    single_item: bool = False
    whole_pipelines: bool = False
    all_pipelines: bool = False
    downstream: bool = False
    force_downstream: bool = False
    output_targets: bool = False
    """The flags mean what they mean to `dvc repro`; the last one: a target may be an output."""
    set_params: Sequence[str] = ()
    composition: Literal["", "always", "never"] = ""
    """Whether Hydra composes params.yaml where the project enables it; empty: when there are set_params."""
    image: str = ""
    cpus: str = ""
    memory: str = ""
    gpus: str = ""
    network: Literal["", "allow", "deny"] = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    """From `image` on: settings for every stage, over those of the project, written as there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How it is to be run."""

    name: str = ""
    message: str = ""
    force: bool = False
    no_run_cache: bool = False
    keep_going: bool = False
    jobs: int = 0
    priority: int = 0
    """From -100 to 100: the larger goes first."""
    labels: Mapping[str, str] = field(default_factory=dict)
    run_timeout_s: float | None = None
    """After so many seconds the service stops the run."""
