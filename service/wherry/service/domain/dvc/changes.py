"""Whether a stage changed since dvc.lock was written, and why: in the words of `dvc status` of DVC 3.67.

Here are the decision and DVC's JSON of it. What stands in the workspace is for the caller to find out.
"""

import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wherry.service.domain.dvc.lockfile import values_equal
from wherry.service.domain.dvc.stage import DataSource, ParamsDependency, Stage, StageName
from wherry.service.domain.paths import NOWHERE, ROOT, ProjectPath, Surroundings, relative_to
from wherry.service.domain.records import FileEntry, StageEntry


class Change(StrEnum):
    """What became of one file, folder or parameter."""

    NEW = "new"
    MODIFIED = "modified"
    DELETED = "deleted"
    NOT_IN_CACHE = "not in cache"


DependencyChange = Change | Mapping[str, Change]
"""Of a params file: what became of each key; or one change, when the file or all that was recorded of it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What stands now where a stage reads and writes, by path as written; None: nothing."""

    deps: Mapping[str, FileEntry | None] = field(default_factory=dict)
    params: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """By file, the declared keys that were found (all keys of a file that is read whole); None: no such file."""
    outs: Mapping[str, FileEntry | None] = field(default_factory=dict)
    uncached: Collection[str] = ()
    """Outputs whose recorded content the cache does not hold. DVC says that before all else."""
    unseen: Collection[str] = ()
    """Paths at which nobody can look. They count as unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChanges:
    """Why a stage counts as changed. Paths are those in the project."""

    deps: Mapping[ProjectPath, DependencyChange] = field(default_factory=dict)
    """Never of a frozen stage."""
    outs: Mapping[ProjectPath, Change] = field(default_factory=dict)
    always: bool = False
    command: bool = False
    checksum: bool = False
    """Whether the .dvc file itself counts as changed."""
    frozen: bool = False
    """Whether changes of dependencies were left out because the stage is frozen."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.deps or self.outs or self.always or self.command or self.checksum)


def find_changes(stage: Stage, now: Workspace, recorded: StageEntry | None) -> StageChanges:
    """Compare a stage with what dvc.lock records of it; None: nothing.

    The rules are DVC's: a file without a recorded hash is modified, not new; what is recorded and no longer
    declared does not count, except in a params file that is read whole; the command counts only if one is
    recorded; execute bits and sizes do not count.
    """
    before = recorded or StageEntry(cmd=stage.cmd, deps=(), params={}, outs=())
    return StageChanges(
        deps={} if stage.frozen else _dependency_changes(stage, now, before),
        outs=_output_changes(((out.path, out.project_path) for out in stage.outs), now, before.outs),
        always=stage.runs_always,
        command=before.cmd != stage.cmd,
        frozen=stage.frozen,
    )


def find_source_changes(source: DataSource, now: Workspace) -> StageChanges:
    """Compare the data of a .dvc file with what the file records."""
    return StageChanges(
        outs=_output_changes(
            ((out.path, out.project_path) for out in source.outs), now, recorded_data(source)
        ),
        always=source.always_changed,
        checksum=source.has_wrong_checksum,
        frozen=source.frozen,
    )


def recorded_data(source: DataSource) -> tuple[FileEntry, ...]:
    """What a .dvc file records, as a lock would; without the data of which it records no hash."""
    return tuple(
        FileEntry(
            path=out.path,
            hash=out.hash,
            size_bytes=out.total_bytes or 0,
            nfiles=out.nfiles,
            executable=out.executable,
            is_legacy=out.is_legacy,
        )
        for out in source.outs
        if out.hash is not None
    )


def status_document(
    changes: Mapping[StageName, StageChanges],
    *,
    folder: ProjectPath = ROOT,
    around: Surroundings = NOWHERE,
) -> dict[str, list[Any]]:
    """Write what `dvc status --json` prints in `folder`: unchanged stages are left out, and so are empty parts."""
    return {
        _addressing(name, folder): _items(found, folder, around) for name, found in changes.items() if found
    }


def _dependency_changes(
    stage: Stage, now: Workspace, before: StageEntry
) -> dict[ProjectPath, DependencyChange]:
    found: dict[ProjectPath, DependencyChange] = {}
    hashes = {entry.path: entry.hash for entry in before.deps}
    for dep in (dep for dep in stage.deps if dep.path not in now.unseen):
        change = _file_change(now.deps.get(dep.path), hashes.get(dep.path))
        if change is not None:
            found[dep.project_path] = change
    for params in (params for params in stage.params if params.path not in now.unseen):
        # Of a file that is a plain dependency too, DVC shows the keys only.
        looked_for = params.written or params.path
        changed = _params_change(params, now.params.get(params.path), before.params.get(looked_for))
        if changed:
            found[params.project_path] = changed
    return found


def _output_changes(
    outs: Iterable[tuple[str, ProjectPath]], now: Workspace, before: Iterable[FileEntry]
) -> dict[ProjectPath, Change]:
    hashes = {entry.path: entry.hash for entry in before}
    found: dict[ProjectPath, Change] = {}
    for written, path in ((written, path) for written, path in outs if written not in now.unseen):
        change = _file_change(now.outs.get(written), hashes.get(written))
        if written in now.uncached and written in hashes:
            change = Change.NOT_IN_CACHE
        if change is not None:
            found[path] = change
    return found


def _file_change(now: FileEntry | None, recorded: str | None) -> Change | None:
    if now is None:
        return Change.DELETED
    return None if now.hash == recorded else Change.MODIFIED


def _params_change(
    params: ParamsDependency, now: Mapping[str, Any] | None, recorded: Mapping[str, Any] | None
) -> DependencyChange | None:
    if now is None:
        return Change.DELETED
    if recorded is None:
        return Change.NEW
    keys = params.keys if params.keys is not None else dict.fromkeys((*now, *recorded))
    return {key: change for key in keys if (change := _value_change(key, now, recorded)) is not None}


def _value_change(key: str, now: Mapping[str, Any], recorded: Mapping[str, Any]) -> Change | None:
    if key not in now:
        return Change.DELETED
    if key not in recorded:
        return Change.NEW
    return None if values_equal(recorded[key], now[key]) else Change.MODIFIED


def _items(found: StageChanges, folder: ProjectPath, around: Surroundings) -> list[Any]:
    items: list[Any] = []
    if found.deps:
        items.append(
            {"changed deps": {around.shown(path, folder): _plain(found.deps[path]) for path in found.deps}}
        )
    if found.outs:
        items.append(
            {"changed outs": {around.shown(path, folder): str(found.outs[path]) for path in found.outs}}
        )
    if found.always:
        items.append("always changed")
    if found.command:
        items.append("changed command")
    if found.checksum:
        items.append("changed checksum")
    return items


def _plain(change: DependencyChange) -> str | dict[str, str]:
    return {key: str(value) for key, value in change.items()} if isinstance(change, Mapping) else str(change)


def _addressing(name: StageName, folder: ProjectPath) -> str:
    """A stage of the dvc.yaml right here goes by its key alone; everything else is named by its file's path."""
    if folder == ROOT:
        return name
    file, colon, key = name.rpartition(":")
    if name.endswith(".dvc") and not colon:
        return relative_to(ProjectPath(name), folder)
    file = file or "dvc.yaml"
    if posixpath.dirname(file) == folder and posixpath.basename(file) == "dvc.yaml":
        return key
    return f"{relative_to(ProjectPath(file), folder)}:{key}"
