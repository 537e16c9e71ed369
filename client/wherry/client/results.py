"""What a run leaves in the project: dvc.lock and changed params with care, outputs by content."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wherry.client.connection import Connection
from wherry.client.data import look_up
from wherry.client.errors import Invalid
from wherry.client.git_ignore import keep_out_of_git
from wherry.client.hashing import Hasher
from wherry.client.ignore import IgnoreRules
from wherry.client.memory import StateMemory
from wherry.client.paths import check_wire_path
from wherry.client.placing import Placed, Placer, Wanted
from wherry.client.progress import Progress
from wherry.client.project import Project
from wherry.v1.pipelines_pb2 import (
    OUTPUT_KIND_METRIC,
    OUTPUT_KIND_PLOT,
    OUTPUT_KIND_UNSPECIFIED,
    FileRecord,
)
from wherry.v1.runs_pb2 import WRITE_BACK_KIND_OUTPUT, Run, WriteBack


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyReport:
    """What of a run is in the workspace now."""

    applied: tuple[str, ...]
    """Paths that are now as the run left them."""
    kept: tuple[str, ...]
    """Files that somebody changed since the submission: left as they are."""
    placed: Placed


@dataclass(frozen=True, slots=True, kw_only=True)
class PullReport:
    """What was pulled."""

    outs: tuple[str, ...]
    placed: Placed


class Results:
    """Brings what runs produced into one project."""

    def __init__(self, project: Project, connection: Connection, progress: Progress) -> None:
        """Take the project, the service, and who hears of progress."""
        self._project = project
        self._memory = StateMemory(project.root / ".dvc" / "tmp" / "wherry" / "state.db")
        self._hasher = Hasher(self._memory)
        self._placer = Placer(project.root, connection, self._hasher, progress, levels=project.levels)

    def apply(self, run: Run, *, force: bool = False, outputs: bool = True) -> ApplyReport:
        """Write back what a run changed. A dvc.lock or params file that was changed since stays, unless forced.

        Raises:
            ClientError: as Placer.place.
        """
        kept = []
        wanted = []
        for item in run.write_backs:
            check_wire_path(item.path, self._project.levels)
            is_output = item.kind == WRITE_BACK_KIND_OUTPUT
            if is_output and not outputs:
                continue
            if not is_output and not force and self._was_changed(item):
                kept.append(item.path)
                continue
            wanted.append(
                Wanted(
                    path=item.path,
                    hash=item.digest.hash,
                    size_bytes=item.digest.size_bytes,
                    executable=item.executable,
                )
            )
        placed = self._placer.place(wanted)
        self._memory.save()
        keep_out_of_git(self._project.root, [out.path for out in cached_outs(run, shown_only=False)])
        return ApplyReport(applied=tuple(item.path for item in wanted), kept=tuple(kept), placed=placed)

    def pull(self, outs: Iterable[FileRecord], paths: Sequence[str] = ()) -> PullReport:
        """Bring outputs, or only those at, above or below `paths` (relative to the DVC root).

        Raises:
            Invalid: if a path is no output, nor part of one.
            ClientError: as Placer.place.
        """
        known = {record.path: record for record in outs if record.hash}
        wanted = select_outs(known.values(), paths)
        placed = self._placer.place(wanted)
        self._memory.save()
        keep_out_of_git(self._project.root, [item.path for item in wanted if known[item.path].cache])
        return PullReport(outs=tuple(item.path for item in wanted), placed=placed)

    def _was_changed(self, item: WriteBack) -> bool:
        rules = IgnoreRules(self._project.root)
        local = look_up(self._project.root, item.path, rules, self._hasher, levels=self._project.levels)
        now = local.file.md5 if local.file is not None else local.tree.hash if local.tree is not None else ""
        return now not in {item.submitted_hash, item.digest.hash}


def select_outs(outs: Iterable[FileRecord], paths: Sequence[str]) -> list[Wanted]:
    """Choose what to bring: all without paths; else outputs below a path, or parts of a folder above it.

    Raises:
        Invalid: if a path fits nothing.
    """
    chosen: dict[str, Wanted] = {}
    unused = set(paths)
    for record in outs:
        above = [path for path in paths if path == "." or (record.path + "/").startswith(path + "/")]
        inside = [path for path in paths if path.startswith(record.path + "/")]
        unused.difference_update(above, inside)
        if above or inside or not paths:
            only = () if above else tuple(posixpath.relpath(path, record.path) for path in inside)
            chosen[record.path] = _wanted(record, only)
    if unused:
        raise Invalid(
            f"no output at {', '.join(sorted(unused))}",
            hint="`wherry show RUN --json` lists the outputs of a run",
            reason="NO_SUCH_OUTPUT",
        )
    return list(chosen.values())


def cached_outs(run: Run, *, shown_only: bool) -> list[FileRecord]:
    """List a run's outputs that DVC caches; `shown_only`: of them metrics and plots."""
    shown = {OUTPUT_KIND_METRIC, OUTPUT_KIND_PLOT}
    return [
        out
        for stage in run.stages
        for out in stage.outs
        if out.cache and out.hash and (not shown_only or out.kind in shown)
    ]


def all_outs(run: Run) -> list[FileRecord]:
    """List a run's outputs, those that are not cached too: the store holds them all."""
    return [out for stage in run.stages for out in stage.outs if out.hash]


def _wanted(record: FileRecord, only: tuple[str, ...]) -> Wanted:
    is_tree = record.hash.endswith(".dir")
    return Wanted(
        path=record.path,
        hash=record.hash,
        # Of a folder the record has the sum of the files, not the length of their list.
        size_bytes=0 if is_tree else record.size_bytes,
        executable=record.executable,
        only=only,
        # Only outputs have a kind; what has none is tracked by a .dvc file.
        cached=record.cache or record.kind == OUTPUT_KIND_UNSPECIFIED,
        total_bytes=record.size_bytes if is_tree else 0,
    )
