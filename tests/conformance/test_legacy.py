"""Projects that DVC 2 left: what DVC 3.67 says of their hashes, and what it writes when it goes on with them."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance.harness import (
    Case,
    dvc,
    dvc_python,
    entry_of,
    legacy_hashes,
    make_project,
    read_pipeline,
    view_of,
)
from tests.conformance.test_status import status_of
from tests.legacy_projects import make_legacy
from wherry.service.domain.dvc import run_cache
from wherry.service.domain.dvc.changes import status_document
from wherry.service.domain.dvc.legacy_hash import as_recorded, outputs_as_recorded
from wherry.service.domain.dvc.lockfile import is_unchanged, parse_lock, update_lock
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.paths import ProjectPath

_LOCK = ProjectPath("dvc.lock")
_WINDOWS = "one\r\ntwo\r\n"
_PLAIN = "plain\n"

_DATA = ("windows", "plain", "folder", "tracked", "text", "made", "used", "data")

_CASE = Case(
    name="legacy",
    files={
        "dvc.yaml": (
            "stages:\n"
            "  read: {cmd: cat windows plain > text && cp -r folder made, deps: [windows, plain, folder],\n"
            "    params: [n], outs: [text, made]}\n"
            "  use: {cmd: cp text used, deps: [text, made, tracked], outs: [used]}\n"
        ),
        "params.yaml": "n: 1\n",
        "windows": _WINDOWS,
        "plain": _PLAIN,
        "folder/a": _WINDOWS,
        "folder/deep/b": "b\n",
        "tracked": _WINDOWS,
        "data/x": _WINDOWS,
        "data/y": "y\n",
    },
    added=("tracked", "data"),
)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _write(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8", newline="")

    return change


def _in_lock(pattern: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "dvc.lock").read_text(encoding="utf-8")
        changed = re.sub(pattern, new, text, count=1, flags=re.MULTILINE)
        assert changed != text
        (folder / "dvc.lock").write_text(changed, encoding="utf-8")

    return change


def _cached(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / ".dvc/cache/files/md5" / _md5(text)[:2] / _md5(text)[2:]
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8", newline="")

    return change


def _all(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def _versioned(path: str, said: str, *, nth: int = 1) -> Callable[[Path], None]:
    """What clouds with versions leave in a lock, behind the hash of the nth entry of a path."""
    entry = (
        rf"\A((?:.*\n)*?(?:    - path: {path}\n(?:.*\n)*?){{{nth - 1}}}    - path: {path}\n      md5: .*\n)"
    )
    return _in_lock(entry, rf"\g<1>      {said}\n")


_CLOUD = "cloud: {r: {version_id: '1', etag: abc, size: 3}}"

CHANGES: Mapping[str, Callable[[Path], None]] = {
    "nothing": lambda _folder: None,
    "line-ends-made-plain": _write("windows", "one\ntwo\n"),
    "line-ends-made-windows": _write("plain", "plain\r\n"),
    "windows-text-changed": _write("windows", "one\r\nthree\r\n"),
    "plain-text-changed": _write("plain", "other\n"),
    "file-in-folder-changed": _write("folder/a", "1\r\n"),
    "file-in-folder-made-plain": _write("folder/a", "one\ntwo\n"),
    "file-in-folder-added": _write("folder/c", "c\n"),
    "param-changed": _write("params.yaml", "n: 2\n"),
    "tracked-data-changed": _write("tracked", "1\r\n"),
    "tracked-data-made-plain": _write("tracked", "one\ntwo\n"),
    "tracked-folder-changed": _write("data/x", "1\n"),
    "tracked-folder-deleted": lambda folder: shutil.rmtree(folder / "data"),
    "out-changed": _write("text", "x\r\n"),
    "dep-without-a-hash": _in_lock(r"^    - path: plain\n      md5: .*\n", "    - path: plain\n"),
    "dep-of-dvc-3": _in_lock(
        r"^    - path: windows\n      md5: .*\n",
        f"    - path: windows\n      hash: md5\n      md5: {_md5(_WINDOWS)}\n",
    ),
    "out-without-a-hash": _in_lock(
        r"^    - path: used\n      md5: .*\n      size: .*\n", "    - path: used\n"
    ),
    "out-of-a-cloud": _in_lock(
        r"^(    - path: used\n      md5: .*\n)", "\\1      cloud: {r: {etag: abc, version_id: '1'}}\n"
    ),
    "versions-of-unchanged-content": _all(
        _versioned("plain", _CLOUD),
        _versioned("text", _CLOUD),
        _versioned("made", _CLOUD),
        _write("params.yaml", "n: 2\n"),
    ),
    "versions-of-changed-content": _all(_versioned("text", _CLOUD), _write("plain", "other\n")),
    "version-without-a-cloud": _all(
        _versioned("text", "etag: 12345\n      isexec: false\n      version_id: x"),
        _write("params.yaml", "n: 2\n"),
    ),
    "versions-of-a-dep-and-its-out": _all(
        _versioned("text", _CLOUD, nth=2),
        _versioned("used", "cloud: {r: {etag: abc}}\n      version_id: ''"),
        _write("tracked", "other\n"),
    ),
    "etag-without-a-version": _all(
        _versioned("text", "cloud: {r: {etag: abc}}"), _write("params.yaml", "n: 2\n")
    ),
    "version-of-content-of-dvc-3": _all(
        _in_lock(
            r"^    - path: used\n      md5: .*\n      size: .*\n",
            f"    - path: used\n      hash: md5\n      md5: {_md5(_WINDOWS + _PLAIN)}\n      version_id: v\n",
        ),
        _cached(_WINDOWS + _PLAIN),
        _write("tracked", "other\n"),
    ),
}

_ASK = """
import json, os, sys
from dvc.repo import Repo
answers = []
for folder in json.load(sys.stdin):
    os.chdir(folder)
    with Repo() as repo:
        before = repo.status()
        repo.reproduce(all_pipelines=True)
    answers.append(before)
print("\\n" + json.dumps(answers))
"""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, Path]]:
    """For each change a copy as it is, and one with which DVC went on."""
    folder = tmp_path_factory.mktemp("legacy") / "project"
    make_project(folder, _CASE)
    dvc(folder, "repro", "-P", "-q")
    make_legacy(folder, _DATA, ("dvc.lock", "tracked.dvc", "data.dvc"))
    copies = {}
    for name, change in CHANGES.items():
        copies[name] = (tmp_path_factory.mktemp("as-it-is") / "p", tmp_path_factory.mktemp("gone-on") / "p")
        for copy in copies[name]:
            shutil.copytree(folder, copy, symlinks=True)
            change(copy)
    return copies


@pytest.fixture(scope="module")
def dvc_says(projects: Mapping[str, tuple[Path, Path]]) -> Mapping[str, Mapping[str, object]]:
    """DVC's status before it went on."""
    # Tracked data that is gone stops `dvc repro`; the status is told all the same.
    folders = [str(copy) for name, (_, copy) in projects.items() if not name.endswith("deleted")]
    some = next(iter(projects.values()))[0]
    answers = json.loads(dvc_python(some, _ASK, json.dumps(folders)).splitlines()[-1])
    says = dict(zip((name for name in projects if not name.endswith("deleted")), answers, strict=True))
    for name in projects.keys() - says.keys():
        says[name] = json.loads(dvc(projects[name][0], "status", "--json"))
    return says


@pytest.mark.parametrize("name", CHANGES)
def test_the_status_is_that_of_dvc(
    projects: Mapping[str, tuple[Path, Path]], dvc_says: Mapping[str, Mapping[str, object]], name: str
) -> None:
    assert status_document(status_of(projects[name][0])) == dvc_says[name]


@pytest.mark.parametrize("name", [name for name in CHANGES if not name.endswith("deleted")])
def test_lock_and_run_cache_are_those_that_dvc_leaves(
    projects: Mapping[str, tuple[Path, Path]], dvc_says: Mapping[str, Mapping[str, object]], name: str
) -> None:
    before, after = projects[name]
    text = (before / _LOCK).read_bytes()
    recorded, pipeline, view = parse_lock(text, _LOCK), read_pipeline(after), view_of(after)
    legacy = legacy_hashes(after, view, [ProjectPath("folder"), ProjectPath("made")])
    written, expected_entries = text, {}
    for key, stage in ((key, pipeline.stages[StageName(key)]) for key in ("read", "use")):
        entry, old = entry_of(after, view, stage), recorded[key]
        entry = replace(
            entry,
            deps=as_recorded(entry.deps, old.deps, legacy),
            outs=outputs_as_recorded(entry.outs, old.outs, legacy),
        )
        # What was said of its deps may have been put right by the stage before it; nobody else puts outs right.
        if "changed outs" not in json.dumps(dvc_says[name].get(key)) and is_unchanged(old, entry):
            continue
        written = update_lock(written, {key: entry}, _LOCK)
        cached = run_cache.entry_path(run_cache.cache_key(entry), run_cache.cache_value(entry))
        expected_entries[cached] = run_cache.entry_bytes(entry)
    cache = after / ".dvc/cache"
    found = {str(file.relative_to(cache)): file.read_bytes() for file in cache.glob("runs/*/*/*")}

    assert written.decode() == (after / _LOCK).read_text(encoding="utf-8")
    assert found == expected_entries
