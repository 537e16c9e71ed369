"""What a stage stood on and what it produced, as dvc.lock records it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wherry.service.domain.blob import BlobHash

Params = Mapping[str, Mapping[str, Any]]
"""{file as written relative to wdir: {key: value}}; values are those of YAML, JSON, TOML or Python literals."""


class OutputKind(StrEnum):
    """The lists of dvc.yaml in which an output can stand."""

    OUT = "out"
    METRIC = "metric"
    PLOT = "plot"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A dependency or output with its content.

    `path` is as written in dvc.yaml, relative to the stage's wdir: DVC's lock, its run cache and
    ours all key on it as written.
    """

    path: str
    hash: BlobHash
    size_bytes: int
    """For a folder, the sum over its files."""
    nfiles: int | None = None
    """Number of files of a folder; None for a file."""
    executable: bool = False
    is_legacy: bool = False
    """Whether the hash is one of DVC 2, which names text with Windows line ends otherwise. Only where dvc.lock is
    concerned: what stands in a project, and results, have the hash of their content."""
    versioned: Mapping[str, Any] | None = field(default=None, hash=False)
    """Of a file in dvc.lock of which a cloud keeps versions: all that stands there behind the hash, in DVC's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntry:
    """A stage as dvc.lock holds it once it has run."""

    cmd: str | tuple[str, ...]
    deps: tuple[FileEntry, ...]
    params: Params
    outs: tuple[FileEntry, ...]
