"""One drawn project, run and read by real DVC on one side and by Wherry's reading on the other."""

import json
import os
import posixpath
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tests.conformance.drawn_projects import DrawnProject, FileChange
from tests.conformance.dvc_process import DvcProcess, DvcRefused
from tests.conformance.harness import legacy_hashes, read_pipeline
from tests.legacy_projects import make_legacy
from wherry.service.domain.blob import hash_content
from wherry.service.domain.dvc import run_cache
from wherry.service.domain.dvc.changes import (
    Workspace,
    find_changes,
    find_source_changes,
    recorded_data,
    status_document,
)
from wherry.service.domain.dvc.graph import topological_order
from wherry.service.domain.dvc.ignore import IGNORE_FILE, IgnoreRules, refuse_ignored_outputs
from wherry.service.domain.dvc.legacy_hash import LegacyHashes, as_recorded
from wherry.service.domain.dvc.lockfile import parse_lock, update_lock
from wherry.service.domain.dvc.params import ParamsParser, find_params, read_params
from wherry.service.domain.dvc.stage import Pipeline, Stage, StageName
from wherry.service.domain.dvc.view import ProjectView
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, OutputKind, StageEntry
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.tree import Tree, TreeEntry

_SKIPPED = {".git", ".dvc"}

# `dvc add` would look at them.
_WRITTEN_LATE = ("dvc.yaml", ".dvcignore", ".dvc")


class Differs(Exception):
    """DVC and Wherry say different things; the text says which."""


def compare(project: DrawnProject, folder: Path, process: DvcProcess) -> str:
    """Go through everything in a new folder; gives how far it went: "refused", "failed" or "ran".

    Raises:
        Differs: at the first difference.
    """
    # Paths may lead out of it.
    folder = folder / "root"
    folder.mkdir()
    late = {path: text for path, text in project.files.items() if path.endswith(_WRITTEN_LATE)}
    for path, text in project.files.items():
        if path not in late:
            _write(folder / path, text)
    process.ask("init", folder, added=project.added)
    for path, text in late.items():
        _write(folder / path, text)
    first = _run(folder, process, (), "first")
    if first == "refused":
        return first
    for change in project.changes:
        _apply(folder, change)
    second = _run(folder, process, project.targets, "second")
    return "ran" if first == second == "ran" else "failed"


def _run(folder: Path, process: DvcProcess, targets: tuple[str, ...], when: str) -> str:
    pipeline = _compare_loaded(folder, process, when)
    if pipeline is None:
        return "refused"
    _compare_status(folder, process, pipeline, f"{when} status before")
    locks = {path: (folder / path).read_bytes() for path in _locks(pipeline) if (folder / path).exists()}
    recorded = {name: recorded_of(folder, stage) for name, stage in pipeline.stages.items()}
    known = _run_cache_files(folder)
    answer = process.ask("repro", folder, targets=targets)
    told = [(StageName(name), bool(ran)) for name, ran in answer["told"]]
    if not targets:
        planned = [name for name in topological_order(pipeline) if name in pipeline.stages]
        walked = [name for name, _ in told if name in pipeline.stages]
        _same(
            f"{when} order ({answer['error']})",
            walked,
            planned[: len(walked)] if answer["error"] else planned,
        )
    ran = [name for name, done in told if done and name in pipeline.stages]
    reading = _Reading(folder)
    entries = {}
    for name in ran:
        entry, old = _entry(reading, pipeline.stages[name], f"{when} {answer['error']}"), recorded[name]
        if old is not None:
            entry = replace(
                entry,
                deps=reading.all_as_recorded(entry.deps, old.deps),
                outs=reading.all_as_recorded(entry.outs, old.outs),
            )
        entries[name] = entry
    _compare_locks(folder, pipeline, locks, entries, when)
    _compare_run_cache(folder, pipeline, entries, known, when)
    _compare_trees(folder, when)
    # DVC has brought .dvc files up to date.
    _compare_status(folder, process, read_project(folder), f"{when} status after")
    return "failed" if answer["error"] else "ran"


def _same(what: str, dvc: object, ours: object) -> None:
    if dvc != ours:
        raise Differs(f"{what}\nDVC:  {dvc!r}\nours: {ours!r}")


def _compare_loaded(folder: Path, process: DvcProcess, when: str) -> Pipeline | None:
    try:
        answer, refusal = process.ask("load", folder), ""
    except DvcRefused as exc:
        answer, refusal = None, str(exc)
    try:
        pipeline = read_project(folder)
    except PipelineInvalid as exc:
        if answer is not None:
            raise Differs(f"{when}: DVC loads it, we refuse: {exc.place} {exc.message}") from exc
        if exc.place is None:
            raise Differs(f"{when}: an error without a place: {exc.message}") from exc
        return None
    if answer is None:
        raise Differs(f"{when}: DVC refuses it ({refusal}), we load it")
    ours = {name: _described(stage) for name, stage in pipeline.stages.items()}
    _same(f"{when} stages", answer["stages"], json.loads(json.dumps(ours)))
    upstream = {
        name: sorted(pipeline.upstream.get(name, ())) for name in (*pipeline.stages, *pipeline.sources)
    }
    _same(f"{when} edges", answer["upstream"], upstream)
    return pipeline


def read_project(folder: Path) -> Pipeline:
    """Read the pipeline, its locks and what .dvcignore says of outputs."""
    pipeline = read_pipeline(folder)
    for path in _locks(pipeline):
        if (folder / path).exists():
            parse_lock((folder / path).read_bytes(), path)
    refuse_ignored_outputs(pipeline, _Reading(folder).rules)
    return pipeline


def _described(stage: Stage) -> Mapping[str, Any]:
    return {
        "cmd": stage.cmd,
        "wdir": stage.wdir,
        "deps": [dep.path for dep in stage.deps],
        "params": sorted(
            [params.path, sorted(params.keys) if params.keys else None] for params in stage.params
        ),
        "outs": [
            [
                out.path,
                out.cache,
                out.kind is OutputKind.METRIC,
                out.kind is OutputKind.PLOT,
                out.push,
                out.persist,
            ]
            for out in stage.outs
        ],
        "frozen": stage.frozen,
        "always_changed": stage.always_changed,
    }


@dataclass(slots=True)
class _Reading:
    """What stands in the folder, less what .dvcignore hides."""

    folder: Path
    rules: IgnoreRules = field(init=False)
    view: ProjectView = field(init=False)

    def __post_init__(self) -> None:
        files = dict(_files(self.folder))
        self.rules = IgnoreRules(
            {path: where.read_bytes() for path, where in files.items() if where.name == IGNORE_FILE}
        )
        beside = {ProjectPath(f"../{path}"): where for path, where in _files(self.folder.parent)}
        own = f"../{self.folder.name}/"
        files |= {path: where for path, where in beside.items() if not path.startswith(own)}
        seen = {
            path: _file(where)
            for path, where in files.items()
            if not self.rules.ignores(path, is_folder=False)
        }
        self.view = ProjectView(files=seen, placed={})

    def resolve(self, written: str, path: ProjectPath) -> FileEntry | None:
        """What stands there. Named itself, an ignored file is seen, and so is an empty folder."""
        where = self.folder / path
        entry = self.view.resolve(written, path)
        if entry is None and where.is_file():
            file = _file(where)
            return FileEntry(
                path=written, hash=file.hash, size_bytes=file.size_bytes, executable=file.executable
            )
        if entry is None and where.is_dir():
            return FileEntry(path=written, hash=Tree.of(()).digest().hash, size_bytes=0, nfiles=0)
        return entry

    def contents(self, stage: Stage) -> dict[ProjectPath, bytes | None]:
        """Of its parameters files."""
        paths = [params.project_path for params in stage.params]
        return {
            path: (self.folder / path).read_bytes() if (self.folder / path).is_file() else None
            for path in paths
        }

    def as_recorded(
        self, now: Mapping[str, FileEntry | None], recorded: Sequence[FileEntry]
    ) -> dict[str, FileEntry | None]:
        """What is recorded under a hash of DVC 2, and is that still, under that hash."""
        found = {file.path: file for file in self.all_as_recorded(filter(None, now.values()), recorded)}
        return {path: found.get(path) for path in now}

    def all_as_recorded(
        self, now: Iterable[FileEntry], recorded: Sequence[FileEntry]
    ) -> tuple[FileEntry, ...]:
        """The same for files that are there."""
        legacy = self._legacy() if any(file.is_legacy for file in recorded) else {}
        return as_recorded(now, recorded, legacy)

    def _legacy(self) -> LegacyHashes:
        folders = {
            ProjectPath(str(parent)) for path in self.view.files for parent in PurePosixPath(path).parents
        }
        return legacy_hashes(self.folder, self.view, folders - {ProjectPath(".")})


def recorded_of(folder: Path, stage: Stage) -> StageEntry | None:
    """What the lock beside the stage's dvc.yaml records."""
    path = _lock_of(stage)
    return parse_lock((folder / path).read_bytes(), path).get(stage.key) if (folder / path).exists() else None


def _files(folder: Path) -> Iterator[tuple[ProjectPath, Path]]:
    for root, folders, names in os.walk(folder):
        if root == str(folder):
            folders[:] = [name for name in folders if name not in _SKIPPED]
        for name in names:
            path = Path(root, name)
            yield ProjectPath(path.relative_to(folder).as_posix()), path


def _file(where: Path) -> SnapshotFile:
    data = where.read_bytes()
    return SnapshotFile(
        hash=hash_content(data), size_bytes=len(data), executable=bool(where.stat().st_mode & 0o111)
    )


def _entry(reading: _Reading, stage: Stage, when: str) -> StageEntry:
    try:
        params = read_params(stage, reading.contents(stage))
    except PipelineInvalid as exc:
        raise Differs(f"{when}: {stage.name} ran in DVC, we refuse: {exc.message}") from exc
    deps = [reading.resolve(dep.path, dep.project_path) for dep in stage.deps]
    outs = [reading.resolve(out.path, out.project_path) for out in stage.outs]
    if None in deps or None in outs:
        raise Differs(f"{when}: {stage.name} ran in DVC, and we see {deps} and {outs}")
    return StageEntry(
        cmd=stage.cmd,
        deps=tuple(dep for dep in deps if dep),
        params=params,
        outs=tuple(out for out in outs if out),
    )


def _lock_of(stage: Stage) -> ProjectPath:
    return ProjectPath(posixpath.join(posixpath.dirname(stage.file), "dvc.lock"))


def _locks(pipeline: Pipeline) -> set[ProjectPath]:
    return {_lock_of(stage) for stage in pipeline.stages.values()}


def _compare_status(folder: Path, process: DvcProcess, pipeline: Pipeline, when: str) -> None:
    try:
        answer, refusal = process.ask("status", folder), ""
    except DvcRefused as exc:
        answer, refusal = None, str(exc)
    try:
        ours = status_of(folder, pipeline)
    except PipelineInvalid as exc:
        # DVC says it only when something is recorded, or when the stage runs.
        if answer is not None and "matches several" not in exc.message:
            raise Differs(f"{when}: DVC says {answer}, we refuse: {exc.message}") from exc
        return
    if answer is None:
        raise Differs(f"{when}: DVC refuses ({refusal}), we say {ours}")
    _same(when, answer, ours)


def status_of(folder: Path, pipeline: Pipeline) -> dict[str, list[Any]]:
    """What `wherry status` says of the folder, as DVC's document."""
    reading = _Reading(folder)
    changes = {}
    for stage in pipeline.stages.values():
        now = Workspace(
            deps={dep.path: reading.resolve(dep.path, dep.project_path) for dep in stage.deps},
            params=find_params(stage, reading.contents(stage), ParamsParser()),
            outs={out.path: reading.resolve(out.path, out.project_path) for out in stage.outs},
        )
        recorded = recorded_of(folder, stage)
        if recorded is not None:
            now = replace(
                now,
                deps=reading.as_recorded(now.deps, recorded.deps),
                outs=reading.as_recorded(now.outs, recorded.outs),
            )
        changes[stage.name] = find_changes(stage, now, recorded)
    for source in pipeline.sources.values():
        outs = {out.path: reading.resolve(out.path, out.project_path) for out in source.outs}
        outs = reading.as_recorded(outs, recorded_data(source))
        changes[source.name] = find_source_changes(source, Workspace(outs=outs))
    return status_document(changes, around=pipeline.around)


def _compare_locks(
    folder: Path,
    pipeline: Pipeline,
    before: Mapping[ProjectPath, bytes],
    entries: Mapping[StageName, StageEntry],
    when: str,
) -> None:
    for path in _locks(pipeline):
        own = {
            pipeline.stages[name].key: entry
            for name, entry in entries.items()
            if _lock_of(pipeline.stages[name]) == path
        }
        expected = update_lock(before.get(path), own, path) if own else before.get(path)
        found = (folder / path).read_bytes() if (folder / path).exists() else None
        _same(f"{when} {path}", found and found.decode(), expected and expected.decode())


def _compare_run_cache(
    folder: Path,
    pipeline: Pipeline,
    entries: Mapping[StageName, StageEntry],
    before: Mapping[str, str],
    when: str,
) -> None:
    expected = {}
    for name, entry in entries.items():
        if run_cache.is_eligible(pipeline.stages[name], entry.params):
            path = run_cache.entry_path(run_cache.cache_key(entry), run_cache.cache_value(entry))
            # What was there stays: parameters called size are not in the key.
            expected[path] = before.get(path) or run_cache.entry_bytes(entry).decode()
    found = _run_cache_files(folder)
    new = {path: text for path, text in found.items() if path not in before.keys() | expected.keys()}
    _same(f"{when} run-cache, unexpected entries", new, {})
    _same(f"{when} run-cache", {path: found.get(path) for path in expected}, expected)


def _run_cache_files(folder: Path) -> dict[str, str]:
    cache = folder / ".dvc" / "cache"
    return {
        str(path.relative_to(cache)): path.read_text(encoding="utf-8") for path in cache.glob("runs/*/*/*")
    }


def _compare_trees(folder: Path, when: str) -> None:
    """Every folder in DVC's cache has the bytes and the name that we would give it."""
    for path in (folder / ".dvc" / "cache" / "files").glob("md5/*/*.dir"):
        data = path.read_bytes()
        tree = Tree.of(TreeEntry(item["relpath"], item["md5"]) for item in json.loads(data))
        _same(f"{when} tree", data, tree.to_bytes())
        _same(f"{when} tree", f"{path.parent.name}{path.name}", tree.digest().hash)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def _apply(folder: Path, change: FileChange) -> None:
    path = folder / change.path
    if change.kind == "write" and not path.parent.is_file():
        _write(path, change.text)
    elif change.kind == "delete":
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    elif path.is_file() and change.kind == "append":
        _write(path, path.read_text(encoding="utf-8") + change.text)
    elif path.is_file() and change.kind == "executable":
        path.chmod(0o755)
    elif change.kind == "as DVC 2":
        files = [name for name, _ in _files(path)]
        folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
        written = [name for name in files if name.endswith((".dvc", "dvc.lock"))]
        make_legacy(path, [*files, *folders], written)
