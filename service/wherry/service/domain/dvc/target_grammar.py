"""Targets as they are written: which file is meant, and what in it. Whether it exists is not asked here."""

import posixpath
from dataclasses import dataclass

from wherry.service.domain.dvc.pipeline_file import PIPELINE_FILE_NAME, is_dvc_file
from wherry.service.domain.errors import StageUnknown

GROUP_MARK = "@"
"""Stands between a foreach or matrix definition's name and the key of a stage made from it."""

_LOCK_FILE_NAME = "dvc.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target, taken apart."""

    text: str
    file: str | None
    """As written; None: no file was named, so it may be a stage of the folder's dvc.yaml or something else."""
    key: str
    """A stage, a group, or with --glob a pattern; empty: all stages of the file."""


def parse_target(text: str) -> Target:
    """Read `name`, `name@key`, `:name`, `path/dvc.yaml`, `path/dvc.yaml:name`, `x.dvc`.

    As in DVC everything behind the first "@" belongs to the key of a generated stage, colons and all.

    Raises:
        StageUnknown: if a dvc.lock is named, with a hint at the dvc.yaml.
    """
    group, _, member = text.partition(GROUP_MARK)
    path, name = _split_name(group)
    if not path:
        key = f"{name}{GROUP_MARK}{member}" if name and member else name
        return Target(text=text, file=PIPELINE_FILE_NAME, key=key)
    if posixpath.basename(path) == _LOCK_FILE_NAME:
        better = text.replace(".lock", ".yaml", 1)
        raise StageUnknown(f"{text!r} is no stage", hint=f"Did you mean {better!r}?")
    if name:
        return Target(text=text, file=path, key=f"{name}{GROUP_MARK}{member}" if member else name)
    return (
        Target(text=text, file=text, key="") if is_dvc_file(text) else Target(text=text, file=None, key=text)
    )


def parse_pattern(text: str) -> Target:
    """Read a target of `--glob`: a pattern, or a file and a pattern behind the last colon."""
    path, _, pattern = text.rpartition(":")
    return Target(text=text, file=path or PIPELINE_FILE_NAME, key=pattern)


def _split_name(text: str) -> tuple[str, str]:
    """Split at the last colon, unless what follows looks like a path."""
    path, colon, name = text.rpartition(":")
    if not colon or "/" in name or "\\" in name:
        return text, ""
    return path, name
