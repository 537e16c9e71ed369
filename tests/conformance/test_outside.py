"""A DVC root below the git root, and stages that read and write outside of it: as real DVC has it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.harness import (
    Case,
    dvc,
    dvc_python,
    make_project,
    read_pipeline,
    run,
    view_of,
)
from tests.conformance.questions import ask_dag
from tests.conformance.test_dag import draw
from wherry.client.data import look_up
from wherry.client.hashing import Hasher
from wherry.client.ignore import IgnoreRules
from wherry.client.memory import StateMemory
from wherry.service.domain.blob import parse_blob_hash
from wherry.service.domain.dvc import run_cache
from wherry.service.domain.dvc.changes import Workspace, find_changes, status_document
from wherry.service.domain.dvc.lockfile import parse_lock, update_lock
from wherry.service.domain.dvc.outside_paths import find_obstacle
from wherry.service.domain.dvc.params import ParamsParser, find_params, read_params
from wherry.service.domain.dvc.stage import Pipeline, Stage
from wherry.service.domain.dvc.view import PlacedData, ProjectView
from wherry.service.domain.paths import ProjectPath, is_inside_root
from wherry.service.domain.records import FileEntry, StageEntry

_LEVELS = 2
_LOCK = ProjectPath("dvc.lock")

# ROOT stands for the absolute path of the DVC root.
_DVC_YAML = """\
vars: [../../shared/v.yaml]
stages:
  lib:
    cmd: cat ../../shared/lib.py > o && echo ${from_above} >> o
    deps: [../../shared/lib.py, ../../shared/sub, ../../shared/./lib2.py]
    params:
    - ../../shared/p.yaml: [lr]
    - ../whole.toml:
    outs: [o]
  back:
    cmd: cp ../proj/o ooo
    deps: [../proj/o]
    outs: [../proj/ooo]
  absolute:
    cmd: cp o oo
    deps: [ROOT/o]
    params: [ROOT/params.yaml: [seed]]
    outs: [ROOT/oo]
  inner:
    wdir: inner
    cmd: cat ../../../shared/lib.py ../o > w
    deps: [../../../shared/lib.py, ROOT/o]
    outs: [w]
  metric:
    cmd: cat o > ../m.json
    deps: [o]
    metrics:
    - ../m.json: {cache: false}
  reads-metric:
    cmd: cat ../m.json ../../shared/lib.py > ../../shared/plain
    deps: [../m.json]
    outs:
    - ../../shared/plain: {cache: false}
"""
_FILES = {
    "shared/lib.py": "lib\n",
    "shared/lib2.py": "lib2\n",
    "shared/v.yaml": "from_above: 1\n",
    "shared/p.yaml": "lr: 0.1\n",
    "shared/sub/x": "x\n",
    "shared/sub/deep/y.pyc": "y\n",
    "shared/sub/.hg/z": "z\n",
    "sub/whole.toml": "a = 1\n",
    "sub/proj/params.yaml": "seed: 1\n",
    "sub/proj/inner/here": "",
    # Nothing outside the DVC root is ignored, by whatever patterns.
    "sub/proj/.dvcignore": "*.pyc\n",
    "shared/.dvcignore": "*.pyc\n",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run once by DVC; tests that change it copy it to the same place."""
    top = Path(os.path.realpath(tmp_path_factory.mktemp("outside"))) / "repository"
    root = top / "sub/proj"
    for name, text in {**_FILES, "sub/proj/dvc.yaml": _DVC_YAML.replace("ROOT", str(root))}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    run(top, "git", "init", "-q")
    dvc(root, "init", "-q", "--subdir")
    (root / ".dvcignore").write_text("*.pyc\n")
    dvc(root, "repro", "-P")
    return top


def _view(root: Path, pipeline: Pipeline) -> ProjectView:
    """The project's files, and what the client says of paths outside."""
    placed = {}
    hasher = Hasher(StateMemory(root.parent.parent.parent / "state.db"))
    for stage in pipeline.stages.values():
        for item in (*stage.inputs, *stage.outs):
            if is_inside_root(item.project_path):
                continue
            seen = look_up(root, item.project_path, IgnoreRules(root), hasher, levels=_LEVELS).to_message()
            if seen.HasField("digest"):
                placed[item.project_path] = PlacedData(
                    hash=parse_blob_hash(seen.digest.hash),
                    total_bytes=seen.total_bytes,
                    nfiles=seen.nfiles if seen.digest.hash.endswith(".dir") else None,
                )
    return ProjectView(files=view_of(root).files, placed=placed)


def _params_files(root: Path, stage: Stage) -> dict[ProjectPath, bytes | None]:
    paths = [params.project_path for params in stage.params]
    return {path: (root / path).read_bytes() if (root / path).exists() else None for path in paths}


def _entry(root: Path, view: ProjectView, stage: Stage) -> StageEntry:
    def found(path: str, project_path: ProjectPath) -> FileEntry:
        entry = view.resolve(path, project_path)
        assert entry is not None, path
        return entry

    return StageEntry(
        cmd=stage.cmd,
        deps=tuple(found(dep.path, dep.project_path) for dep in stage.deps),
        params=read_params(stage, _params_files(root, stage)),
        outs=tuple(found(out.path, out.project_path) for out in stage.outs),
    )


def test_the_lock_has_the_bytes_that_dvc_writes(repository: Path) -> None:
    root = repository / "sub/proj"
    pipeline = read_pipeline(root, levels=_LEVELS)
    view = _view(root, pipeline)
    entries = {stage.key: _entry(root, view, stage) for stage in pipeline.stages.values()}
    assert update_lock(None, entries, _LOCK).decode() == (root / "dvc.lock").read_text()


def test_the_run_cache_has_what_dvc_keeps(repository: Path) -> None:
    root = repository / "sub/proj"
    pipeline = read_pipeline(root, levels=_LEVELS)
    view = _view(root, pipeline)
    kept = {}
    for stage in pipeline.stages.values():
        entry = _entry(root, view, stage)
        if run_cache.is_eligible(stage, entry.params):
            path = run_cache.entry_path(run_cache.cache_key(entry), run_cache.cache_value(entry))
            kept[path] = run_cache.entry_bytes(entry)
    cache = root / ".dvc/cache"
    assert kept == {str(path.relative_to(cache)): path.read_bytes() for path in cache.glob("runs/*/*/*")}
    assert kept


def _status(root: Path, folder: str) -> dict[str, list[Any]]:
    pipeline = read_pipeline(root, levels=_LEVELS)
    view = _view(root, pipeline)
    recorded = parse_lock((root / "dvc.lock").read_bytes(), _LOCK)
    changes = {}
    for stage in pipeline.stages.values():
        now = Workspace(
            deps={dep.path: view.resolve(dep.path, dep.project_path) for dep in stage.deps},
            params=find_params(stage, _params_files(root, stage), ParamsParser()),
            outs={out.path: view.resolve(out.path, out.project_path) for out in stage.outs},
        )
        changes[stage.name] = find_changes(stage, now, recorded.get(stage.key))
    return status_document(changes, folder=ProjectPath(folder), around=pipeline.around)


@pytest.mark.parametrize("folder", [".", "inner"])
def test_the_status_names_what_lies_outside_as_dvc_does(repository: Path, folder: str) -> None:
    root = repository / "sub/proj"
    before = repository.parent / "before"
    shutil.copytree(repository, before, symlinks=True)
    try:
        assert _status(root, folder) == json.loads(dvc(root / folder, "status", "--json")) == {}
        (repository / "shared/lib.py").write_text("changed\n")
        (repository / "shared/sub/deep/new.pyc").write_text("new\n")
        (repository / "shared/p.yaml").write_text("lr: 0.2\n")
        (repository / "sub/m.json").unlink()
        (repository / "shared/plain").write_text("changed\n")
        (root / "o").write_text("changed\n")
        said = json.loads(dvc(root / folder, "status", "--json"))
        assert _status(root, folder) == said
        assert str(repository / "shared/lib.py") in json.dumps(said)
    finally:
        shutil.rmtree(repository)
        before.rename(repository)


@pytest.mark.parametrize("folder", [".", "inner"])
def test_drawings_are_those_of_dvc(repository: Path, folder: str) -> None:
    root = repository / "sub/proj"
    pipeline = read_pipeline(root, levels=_LEVELS)
    up = "" if folder == "." else "../"
    targets = (
        (),
        (f"{up}../m.json",),
        (f"{up}dvc.yaml:metric",),
        (str(repository / "shared/plain"),),
        (f"{up}oo",),
    )
    questions = [(folder, (*form, *target)) for form in (("--dot",), ("--mermaid",)) for target in targets]
    questions += [(folder, ("--outs", "--mermaid"))]
    answers = ask_dag(root, questions)
    assert [draw(pipeline, question) for question in questions] == answers
    assert None not in answers


_ELSEWHERE = Case(
    name="elsewhere",
    files={
        "here": "1\n",
        "dvc.yaml": """\
stages:
  s3: {cmd: x, deps: [s3://b/k/, 'https://x.y/z'], outs: [s3out]}
  s3b: {cmd: x, deps: [s3://b/k/one, here], outs: [s3out2]}
  s3c: {cmd: x, deps: [ab], outs: [{s3://b/k/two: {cache: false}}]}
  ab: {cmd: x, deps: [/none/such/data], outs: [ab]}
  ab2: {cmd: x, outs: [{/none/such/data/in: {cache: false}}]}
  up: {cmd: x, deps: [../../../up/f], outs: [up]}
  up2: {cmd: x, outs: [{../../../up/f/g: {cache: false}}]}
  far: {cmd: x, wdir: .., deps: [q], outs: [{w: {cache: false}}]}
""",
    },
)


def test_what_lies_elsewhere_is_drawn_as_dvc_draws_it(tmp_path: Path) -> None:
    root = Path(os.path.realpath(tmp_path)) / "elsewhere"
    make_project(root, _ELSEWHERE)
    pipeline = read_pipeline(root)
    targets = ((), ("s3",), ("/none/such/data/in",), ("up",), ("s3c",), ("ab",), ("../../../up/f/g",))
    questions = [(".", (*form, *target)) for form in (("--dot",), ("--mermaid",)) for target in targets]
    questions += [(".", ("--outs", "--mermaid"))]
    answers = ask_dag(root, questions)
    assert [draw(pipeline, question) for question in questions] == answers
    assert None not in answers


# Reproduces each stage by itself: the name of DVC's error, or nothing.
_REPRODUCE = """
import json, os, sys
from dvc.repo import Repo
answers = {}
for name in json.load(sys.stdin):
    try:
        with Repo() as repo:
            repo.reproduce([name])
        answers[name] = ""
    except Exception as exc:
        answers[name] = type(exc).__name__
print("\\n" + json.dumps(answers))
"""
_STAGES_OUTSIDE = """\
stages:
  no-deps: {cmd: pwd > project/n, wdir: .., outs: [project/n]}
  uncached: {cmd: cp in project/u, wdir: .., deps: [in], outs: [{project/u: {cache: false}}]}
  metric: {cmd: cp in project/m, wdir: .., deps: [in], metrics: [{project/m: {cache: false}}]}
  metric-outside: {cmd: cp in mo, wdir: .., deps: [in], metrics: [{mo: {cache: false}}]}
  always: {cmd: cp in project/a, wdir: .., deps: [in], outs: [project/a], always_changed: true}
  persist: {cmd: cp in project/p, wdir: .., deps: [in], outs: [{project/p: {persist: true}}]}
  cached: {cmd: cp in project/c, wdir: .., deps: [in], outs: [project/c]}
  cached-outside: {cmd: cp ../in ../co, deps: [../in], outs: [../co]}
  uncached-outside: {cmd: cp ../in ../uo, deps: [../in], outs: [{../uo: {cache: false}}]}
"""


def test_refused_before_they_run_are_the_stages_on_which_dvc_fails_afterwards(tmp_path: Path) -> None:
    top = Path(os.path.realpath(tmp_path))
    root = top / "project"
    run(top, "git", "init", "-q")
    root.mkdir()
    (top / "in").write_text("1\n")
    dvc(root, "init", "-q", "--subdir")
    (root / "dvc.yaml").write_text(_STAGES_OUTSIDE)
    pipeline = read_pipeline(root, levels=1)
    names = list(pipeline.stages)

    answers = json.loads(dvc_python(root, _REPRODUCE, json.dumps(names)).splitlines()[-1])

    obstacles = {name: find_obstacle(stage, pipeline.around) for name, stage in pipeline.stages.items()}
    refused = {name for name, obstacle in obstacles.items() if obstacle is not None}
    assert (
        refused
        == {name for name, error in answers.items() if error}
        == {"metric", "cached", "cached-outside"}
    )
