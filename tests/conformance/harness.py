"""Real DVC on one side, Wherry's reading of the same folder on the other."""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.dvc_init import init_dvc
from tests.dvc_program import run_dvc
from wherry.service.domain.blob import hash_content
from wherry.service.domain.dvc import run_cache
from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.dvc_config import CONFIG_FILE, parse_parsing_settings
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.ignore import IGNORE_FILE, IgnoreRules
from wherry.service.domain.dvc.legacy_hash import LegacyHasher, LegacyHashes, legacy_tree_hash
from wherry.service.domain.dvc.params import read_params
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage, StageName
from wherry.service.domain.dvc.view import ProjectView
from wherry.service.domain.paths import ProjectPath, Surroundings
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.snapshot import SnapshotFile

DVC_FOLDER = Path(__file__).parents[2] / ".venv-dvc" / "bin"
_ENVIRONMENT = {
    "PATH": f"{DVC_FOLDER}:{os.environ['PATH']}",
    "HOME": os.environ.get("HOME", "/"),
    "SHELL": "/bin/sh",
    "DVC_NO_ANALYTICS": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
_SKIPPED = {".git", ".dvc"}


def dvc_environment() -> Mapping[str, str]:
    """The environment in which DVC is run."""
    return _ENVIRONMENT


def run(folder: Path, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=folder, env=_ENVIRONMENT, input=stdin, capture_output=True, text=True, check=False
    )


def dvc(folder: Path, *arguments: str) -> str:
    result = run_dvc(*arguments, cwd=folder, env=_ENVIRONMENT)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def dvc_python(folder: Path, script: str, stdin: str) -> str:
    """Run a script with DVC's own interpreter: many small questions in one process."""
    result = run(folder, str(DVC_FOLDER / "python"), "-c", script, stdin=stdin)
    assert result.returncode == 0, result.stderr
    return result.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A project, and what to do before it is run."""

    name: str
    files: Mapping[str, str]
    added: tuple[str, ...] = ()
    """Given to `dvc add`."""


def make_project(folder: Path, case: Case) -> None:
    folder.mkdir(parents=True)
    for path, text in case.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="")
    run(folder, "git", "init", "-q")
    init_dvc(folder)
    for path in case.added:
        dvc(folder, "add", "-q", path)


@dataclass(slots=True, kw_only=True)
class RanProject:
    """A project after `dvc repro -P`, with what Wherry reads in it."""

    folder: Path
    locks_before: Mapping[str, bytes]
    output: str
    status: Mapping[str, list[Any]]
    """What `dvc status` says afterwards of stages that changed."""
    pipeline: Pipeline
    entries: Mapping[StageName, StageEntry] = field(default_factory=dict)

    @property
    def dvc_order(self) -> list[str]:
        """The stages in the order in which DVC went through them."""
        return re.findall(r"^Running stage '(.*)':$", self.output, re.MULTILINE)

    def run_cache_files(self) -> dict[str, bytes]:
        cache = self.folder / ".dvc" / "cache"
        return {str(path.relative_to(cache)): path.read_bytes() for path in cache.glob("runs/*/*/*")}


def reproduce(folder: Path, case: Case) -> RanProject:
    make_project(folder, case)
    locks = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("dvc.lock")}
    output = dvc(folder, "repro", "-P")
    pipeline = read_pipeline(folder)
    view = view_of(folder)
    entries = {stage.name: entry_of(folder, view, stage) for stage in pipeline.stages.values()}
    return RanProject(
        folder=folder,
        locks_before=locks,
        output=output,
        status=json.loads(dvc(folder, "status", "--json")),
        pipeline=pipeline,
        entries=entries,
    )


def read_pipeline(folder: Path, *, levels: int = 0) -> Pipeline:
    """Read all DVC files, in the order in which DVC meets them: that of the file system.

    `levels` folders above are in the repository too.
    """
    around = Surroundings(folder.as_posix(), levels)
    stages: list[Stage] = []
    sources: list[DataSource] = []
    config = folder / CONFIG_FILE
    parsing = parse_parsing_settings(config.read_bytes() if config.exists() else b"")

    ignore = folder / IGNORE_FILE
    rules = IgnoreRules({ProjectPath(IGNORE_FILE): ignore.read_bytes() if ignore.exists() else b""})

    def load(path: ProjectPath) -> bytes | None:
        return (folder / path).read_bytes() if (folder / path).is_file() else None

    for root, folders, names in os.walk(folder):
        # A folder with a `.dvc` folder is a project of its own.
        folders[:] = [
            name for name in folders if name not in _SKIPPED and not Path(root, name, ".dvc").is_dir()
        ]
        for name in names:
            path = Path(root, name)
            project_path = ProjectPath(path.relative_to(folder).as_posix())
            if rules.ignores(project_path, is_folder=False):
                continue
            if name == "dvc.yaml":
                stages.extend(
                    parse_pipeline_file(
                        path.read_bytes(), project_path, load=load, parsing=parsing, around=around
                    )
                )
            elif name.endswith(".dvc"):
                sources.append(parse_data_file(path.read_bytes(), project_path, around))
    return build_pipeline(stages, sources, around)


def view_of(folder: Path) -> ProjectView:
    files = {}
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        for name in names:
            path = Path(root, name)
            data = path.read_bytes()
            files[ProjectPath(path.relative_to(folder).as_posix())] = SnapshotFile(
                hash=hash_content(data), size_bytes=len(data), executable=bool(path.stat().st_mode & 0o111)
            )
    return ProjectView(files=files, placed={})


def legacy_hashes(folder: Path, view: ProjectView, paths: Iterable[ProjectPath]) -> LegacyHashes:
    """Hashes of DVC 2 of all files, and of the folders among `paths`."""
    found = {}
    for path, file in view.files.items():
        hasher = LegacyHasher()
        hasher.update((folder / path).read_bytes())
        found[file.hash] = hasher.hash()
    for path in paths:
        tree = view.tree(path) if (folder / path).is_dir() else None
        if tree is not None:
            found[tree.digest().hash] = legacy_tree_hash(tree, found)
    return found


def entry_of(folder: Path, view: ProjectView, stage: Stage) -> StageEntry:
    contents = {
        params.project_path: (folder / params.project_path).read_bytes()
        for params in stage.params
        if (folder / params.project_path).exists()
    }
    return StageEntry(
        cmd=stage.cmd,
        deps=tuple(_resolve(view, dep.path, dep.project_path) for dep in stage.deps),
        params=read_params(stage, contents),
        outs=tuple(_resolve(view, out.path, out.project_path) for out in stage.outs),
    )


def _resolve(view: ProjectView, written: str, path: ProjectPath) -> FileEntry:
    entry = view.resolve(written, path)
    assert entry is not None, path
    return entry


def expected_run_cache(project: RanProject) -> dict[str, bytes]:
    files = {}
    for name, stage in project.pipeline.stages.items():
        entry = project.entries[name]
        if run_cache.is_eligible(stage, entry.params):
            key, value = run_cache.cache_key(entry), run_cache.cache_value(entry)
            files[run_cache.entry_path(key, value)] = run_cache.entry_bytes(entry)
    return files
