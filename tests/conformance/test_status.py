"""`dvc status --json` and Wherry's reading of the same folder say the same of every stage."""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.harness import (
    Case,
    dvc,
    dvc_python,
    legacy_hashes,
    make_project,
    read_pipeline,
    view_of,
)
from wherry.service.domain.dvc.changes import (
    StageChanges,
    Workspace,
    find_changes,
    find_source_changes,
    recorded_data,
    status_document,
)
from wherry.service.domain.dvc.legacy_hash import LegacyHashes, as_recorded
from wherry.service.domain.dvc.lockfile import parse_lock
from wherry.service.domain.dvc.params import ParamsParser, find_params
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.dvc.view import ProjectView
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import FileEntry, StageEntry

_DVC_YAML = """\
stages:
  first:
    cmd: cat in src/a > made
    deps: [in, src]
    params: [train.lr, seed, conf/p.toml: [owner.age, list], conf/p.py: [T, A, Nested], conf/p.json: [n, f]]
    outs: [made]
    metrics: [{score: {cache: false}}]
  whole:
    cmd: cp made whole
    deps: [made]
    params: [whole.yaml: null, seed]
    outs: [whole]
  listed:
    cmd: [cp whole listed, "true"]
    deps: [whole]
    outs: [listed]
  folder:
    cmd: mkdir -p out && cp made out/x && cp in out/y
    deps: [made]
    outs: [out]
  inside:
    cmd: cp out/x inside
    deps: [out/x]
    outs: [inside]
  held:
    cmd: cp tracked held
    deps: [tracked]
    outs: [held]
  always:
    cmd: echo 1 > always
    always_changed: true
    outs: [always]
  callback:
    cmd: "true"
  both:
    cmd: cp params.yaml both
    deps: [params.yaml]
    params: [seed]
    outs: [both]
"""

CASE = Case(
    name="status",
    files={
        "dvc.yaml": _DVC_YAML.replace("cat in src/a > made", "cat in src/a > made && echo 1 > score"),
        "sub/dvc.yaml": (
            "stages:\n  s: {cmd: cp ../made s, wdir: ., deps: [../made], params: [p.yaml: [k]], outs: [s]}\n"
            "  w: {cmd: cp a/i o, wdir: inner, deps: [a/i], params: [../p.yaml: [k]], outs: [o]}\n"
        ),
        "sub/p.yaml": "k: 1\n",
        "sub/inner/a/i": "i\n",
        "in": "1\n",
        "src/a": "a\n",
        "src/deep/b": "b\n",
        "tracked": "t\n",
        "params.yaml": "seed: 1\ntrain: {lr: 0.1, nan: .nan}\n",
        "whole.yaml": "a: 1\nb: {c: [1, 2]}\nn:\n",
        "conf/p.toml": "list = [1, 2]\n[owner]\nage = 3\n",
        "conf/p.py": "A = 1\nT = (1, 2)\nNested = ((1, 2), 3)\n",
        "conf/p.json": '{"n": NaN, "f": 2.0}',
    },
    added=("tracked",),
)


def _edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def _remove(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def _write(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return change


def _drop_from_lock(stage: str, key: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        lines = (folder / "dvc.lock").read_text(encoding="utf-8").splitlines(keepends=True)
        start = lines.index(f"  {stage}:\n")
        begin = lines.index(f"    {key}:\n", start)
        end = begin + 1
        while end < len(lines) and lines[end].startswith(("     ", "    -")):
            end += 1
        (folder / "dvc.lock").write_text("".join(lines[:begin] + lines[end:]), encoding="utf-8")

    return change


def _edit_all_deps_to_dvc_2(folder: Path) -> None:
    """DVC 2 named no hash. Outs would be looked for in its own cache, so they are left."""
    text = (folder / "dvc.lock").read_text(encoding="utf-8")
    parts = re.split(r"^(    (?:deps|outs|params):\n)", text, flags=re.MULTILINE)
    for position in range(1, len(parts), 2):
        if "deps" in parts[position]:
            parts[position + 1] = parts[position + 1].replace("      hash: md5\n", "")
    assert "".join(parts) != text
    (folder / "dvc.lock").write_text("".join(parts), encoding="utf-8")


CHANGES: dict[str, Callable[[Path], None]] = {
    "nothing": lambda _folder: None,
    "dep-modified": _write("in", "2\n"),
    "dep-deleted": _remove("in"),
    "dep-folder-with-a-new-file": _write("src/new", "n\n"),
    "dep-folder-deleted": _remove("src"),
    "dep-added": _edit("dvc.yaml", "deps: [in, src]", "deps: [in, src, tracked]"),
    "dep-no-longer-declared": _edit("dvc.yaml", "deps: [in, src]", "deps: [in]"),
    "dep-written-otherwise": _edit("dvc.yaml", "deps: [in, src]", "deps: [./in, src]"),
    "dep-of-frozen-modified": _write("tracked", "other\n"),
    "tracked-data-deleted": _remove("tracked"),
    "out-modified": _write("made", "other\n"),
    "out-deleted": _remove("made"),
    "out-folder-with-a-file-less": _remove("out/y"),
    "out-folder-deleted": _remove("out"),
    "out-added": _edit("dvc.yaml", "outs: [listed]", "outs: [listed, more]"),
    "out-of-frozen-modified": _write("held", "other\n"),
    "uncached-metric-deleted": _remove("score"),
    "uncached-metric-modified": _write("score", "2\n"),
    "command": _edit("dvc.yaml", "cp made whole", "cp  made whole"),
    "command-from-list-to-text": _edit("dvc.yaml", '[cp whole listed, "true"]', "cp whole listed"),
    "command-in-a-list": _edit("dvc.yaml", '"true"]', '"false"]'),
    "param-modified": _edit("params.yaml", "lr: 0.1", "lr: 0.05"),
    "param-deleted": _edit("params.yaml", "lr: 0.1", "other: 0.1"),
    "param-added": _edit("dvc.yaml", "params: [train.lr,", "params: [train, train.lr,"),
    "param-by-pattern-added": _edit("dvc.yaml", "params: [train.lr,", "params: ['*.l?', '**.nan', train.lr,"),
    "param-by-pattern-without-match": _edit(
        "dvc.yaml", "params: [train.lr,", "params: ['train.x*', train.lr,"
    ),
    "param-equal-as-float": _edit("params.yaml", "seed: 1", "seed: 1.0"),
    "param-equal-as-bool": _edit("params.yaml", "seed: 1", "seed: true"),
    "param-as-text": _edit("params.yaml", "seed: 1", "seed: '1'"),
    "param-nan-in-a-mapping": _edit("dvc.yaml", "params: [train.lr,", "params: [train.nan, train.lr,"),
    "params-file-deleted": _remove("conf/p.toml"),
    "params-file-empty": _write("conf/p.toml", ""),
    "params-file-added": _edit(
        "dvc.yaml", "params: [whole.yaml: null, seed]", "params: [whole.yaml: null, sub/p.yaml: [k]]"
    ),
    "whole-file-added": _edit(
        "dvc.yaml", "params: [whole.yaml: null, seed]", "params: [whole.yaml: null, sub/p.yaml: null]"
    ),
    "whole-file-with-a-key-more": _edit("whole.yaml", "a: 1", "z: 1\na: 1"),
    "whole-file-with-a-key-less": _edit("whole.yaml", "a: 1\n", ""),
    "whole-file-with-a-deep-change": _edit("whole.yaml", "[1, 2]", "[2, 1]"),
    "whole-file-deleted": _remove("whole.yaml"),
    "whole-file-empty": _write("whole.yaml", ""),
    "param-in-toml": _edit("conf/p.toml", "[1, 2]", "[1, 3]"),
    "param-in-python": _edit("conf/p.py", "T = (1, 2)", "T = [1, 2, 3]"),
    "param-in-json": _edit("conf/p.json", "2.0", "3"),
    "no-lock": _remove("dvc.lock"),
    "lock-without-a-stage": _edit("dvc.lock", "  whole:\n", "  gone:\n"),
    "lock-without-deps": _drop_from_lock("first", "deps"),
    "lock-without-params": _drop_from_lock("first", "params"),
    "lock-without-outs": _drop_from_lock("first", "outs"),
    "lock-of-dvc-2": _edit_all_deps_to_dvc_2,
    "thawed": _edit("dvc.yaml", "frozen: true", "frozen: false"),
    "params-beside-a-stage-of-another-folder": _edit("sub/p.yaml", "k: 1", "k: 2"),
    "dep-below-wdir": _write("sub/inner/a/i", "j\n"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run once; each test works on a copy."""
    folder = tmp_path_factory.mktemp("status") / "project"
    make_project(folder, CASE)
    dvc(folder, "repro", "-P")
    # Frozen from the start it would never have run.
    _edit("dvc.yaml", "outs: [held]\n", "outs: [held]\n    frozen: true\n")(folder)
    return folder


# One process for all questions: starting DVC takes longer than answering one.
_ASK_DVC = """
import json, os, sys
from dvc.repo import Repo
answers = []
for folder in json.load(sys.stdin):
    os.chdir(folder)
    with Repo() as repo:
        answers.append(repo.status())
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def changed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A changed copy of the project for each change."""
    folders = {name: tmp_path_factory.mktemp("changed") / "project" for name in CHANGES}
    for name, folder in folders.items():
        shutil.copytree(project, folder, symlinks=True)
        CHANGES[name](folder)
    return folders


@pytest.fixture(scope="module")
def dvc_says(project: Path, changed: Mapping[str, Path]) -> Mapping[str, list[Any]]:
    """DVC's status of each, in the root and in `sub`."""
    folders = [str(path) for folder in changed.values() for path in (folder, folder / "sub")]
    answers = json.loads(dvc_python(project, _ASK_DVC, json.dumps(folders)))
    return {name: answers[2 * position : 2 * position + 2] for position, name in enumerate(changed)}


@pytest.mark.parametrize("name", CHANGES)
def test_the_status_is_that_of_dvc(
    changed: Mapping[str, Path], dvc_says: Mapping[str, list[Any]], name: str
) -> None:
    changes = status_of(changed[name])
    written = [status_document(changes), status_document(changes, folder=ProjectPath("sub"))]
    assert written == dvc_says[name]


def test_the_changes_cover_every_kind_of_answer(dvc_says: Mapping[str, list[Any]]) -> None:
    text = json.dumps(list(dvc_says.values()))
    kinds = (
        "new",
        "modified",
        "deleted",
        "changed deps",
        "changed outs",
        "always changed",
        "changed command",
    )
    assert [kind for kind in kinds if f'"{kind}"' not in text] == []


def test_the_program_prints_the_same_document(changed: Mapping[str, Path]) -> None:
    folder = changed["param-modified"]
    printed = json.loads(dvc(folder, "status", "--json"))
    assert status_document(status_of(folder)) == printed
    assert printed["first"][0]["changed deps"]["params.yaml"] == {"train.lr": "modified"}


def test_what_the_cache_lost_is_said_before_all_else(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    shutil.rmtree(folder / ".dvc" / "cache")
    (folder / "made").write_text("other\n", encoding="utf-8")
    changes = status_of(folder, cache_is_lost=True)
    assert status_document(changes) == json.loads(dvc(folder, "status", "--json"))


def status_of(folder: Path, *, cache_is_lost: bool = False) -> dict[StageName, StageChanges]:
    """What Wherry says of each stage and .dvc file."""
    pipeline, view = read_pipeline(folder), view_of(folder)
    paths = [dep.project_path for stage in pipeline.stages.values() for dep in stage.deps]
    paths += [out.project_path for stage in pipeline.stages.values() for out in stage.outs]
    paths += [out.project_path for source in pipeline.sources.values() for out in source.outs]
    legacy = legacy_hashes(folder, view, paths)
    changes = {}
    for stage in pipeline.stages.values():
        recorded = _recorded(folder, stage)
        now = _workspace_of(folder, view, stage, cache_is_lost=cache_is_lost)
        now = replace(
            now,
            deps=_as_recorded(now.deps, recorded.deps if recorded else (), legacy),
            outs=_as_recorded(now.outs, recorded.outs if recorded else (), legacy),
        )
        changes[stage.name] = find_changes(stage, now, recorded)
    for source in pipeline.sources.values():
        outs = {out.path: view.resolve(out.path, out.project_path) for out in source.outs}
        uncached = outs if cache_is_lost else ()
        outs = _as_recorded(outs, recorded_data(source), legacy)
        changes[source.name] = find_source_changes(source, Workspace(outs=outs, uncached=uncached))
    return changes


def _as_recorded(
    now: Mapping[str, FileEntry | None], recorded: Sequence[FileEntry], legacy: LegacyHashes
) -> dict[str, FileEntry | None]:
    there = [file for file in now.values() if file is not None]
    found = {file.path: file for file in as_recorded(there, recorded, legacy)}
    return {path: found.get(path) for path in now}


def _workspace_of(folder: Path, view: ProjectView, stage: Stage, *, cache_is_lost: bool) -> Workspace:
    files = {
        params.project_path: path.read_bytes() if (path := folder / params.project_path).exists() else None
        for params in stage.params
    }
    return Workspace(
        deps={dep.path: view.resolve(dep.path, dep.project_path) for dep in stage.deps},
        params=find_params(stage, files, ParamsParser()),
        outs={out.path: view.resolve(out.path, out.project_path) for out in stage.outs},
        uncached={out.path for out in stage.outs if out.cache} if cache_is_lost else (),
    )


def _recorded(folder: Path, stage: Stage) -> StageEntry | None:
    path = ProjectPath(f"{stage.file.removesuffix('dvc.yaml')}dvc.lock")
    if not (folder / path).exists():
        return None
    return parse_lock((folder / path).read_bytes(), path).get(stage.key)
