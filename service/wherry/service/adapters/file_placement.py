"""Putting the files of a workspace in place, once their content is on the node.

What a stage may change is a copy of its own. An input is a hard link to the node's file where that belongs to another
user than the stage's (it can then neither write nor chmod it), else a read-only copy.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wherry.service.adapters.file_copy import copy_file
from wherry.service.adapters.node_trees_local import NO_LINK
from wherry.service.adapters.read_observation import mark_unread


@dataclass(frozen=True, slots=True)
class Placement:
    """One file to put in place."""

    hash: str
    executable: bool
    writable: bool
    observed: bool = False
    """Whether it is to be known if the stage read it."""


@dataclass(frozen=True, slots=True)
class PlacementJob:
    """One file to put in place, with its content at hand."""

    blob: Path
    target: str
    placement: Placement


class FilePlacement:
    """Puts files in place for one user of stages."""

    def __init__(self, *, uid: int, gid: int) -> None:
        """Files that stages may change belong to this user."""
        self._uid = uid
        self._gid = gid
        self._may_link = os.geteuid() != uid

    def bytes_to_write(self, job: PlacementJob) -> int:
        """How much of the disk the file takes that it does not take already."""
        return job.blob.stat().st_size if job.placement.writable or not self._may_link else 0

    def place_all(self, jobs: Sequence[PlacementJob]) -> Mapping[str, int]:
        """Put files in place; returns the inodes of those that are observed."""
        inodes: dict[str, int] = {}
        for job in jobs:
            executable = job.placement.executable
            if job.placement.writable:
                mode = 0o755 if executable else 0o644
                finish = partial(_observe, inodes, job.target) if job.placement.observed else None
                copy_file(job.blob, job.target, mode, (self._uid, self._gid), finish=finish)
            elif not (self._may_link and _link(job)):
                copy_file(job.blob, job.target, 0o555 if executable else 0o444)
        return inodes


def _observe(inodes: dict[str, int], target: str, file: int) -> None:
    inodes[target] = mark_unread(file)


def _link(job: PlacementJob) -> bool:
    """Link the node's copy; False where that cannot be."""
    try:
        os.link(job.blob, job.target)
    except OSError as exc:
        if exc.errno in NO_LINK:
            return False
        raise
    return True
