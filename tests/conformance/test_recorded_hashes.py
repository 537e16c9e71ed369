"""Every way in which a .dvc file can record content: DVC's status of it, or its refusal, and Wherry's."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.harness import dvc_python
from tests.conformance.test_status import status_of
from wherry.service.domain.dvc.changes import status_document
from wherry.service.domain.errors import PipelineInvalid

_WINDOWS, _PLAIN = b"a\r\nb\r\n", b"x\n"


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


_OLD, _NEW, _MD5 = _md5(b"a\nb\n"), _md5(_WINDOWS), _md5(_PLAIN)


def _tree(first: str) -> bytes:
    members = [{"md5": first, "relpath": "a"}, {"md5": _MD5, "relpath": "b"}]
    return json.dumps(members, sort_keys=True).encode()


def _files(first: str) -> str:
    cloud = "cloud: {r: {etag: abc, version_id: '2'}}"
    return f"files: [{{relpath: b, md5: {_MD5}, size: 2, {cloud}}}, {{relpath: a, md5: {first}, size: 6}}]"


ENTRIES = {
    "an MD5": f"path: plain, md5: {_MD5}, hash: md5",
    "another MD5": f"path: plain, md5: {_NEW}, hash: md5",
    "an old hash of windows text": f"path: windows, md5: {_OLD}",
    "an old hash of a folder": f"path: folder, md5: {_md5(_tree(_OLD))}.dir, size: 8",
    "another old hash of a folder": f"path: folder, md5: {_md5(_tree(_MD5))}.dir, size: 8",
    "an old hash that is not cached": f"path: windows, md5: {_OLD}, cache: false",
    "no hash": "path: plain",
    "a kind and no hash": "path: plain, hash: md5",
    "an empty hash": "path: plain, hash: md5, md5: ''",
    "a null hash": "path: plain, hash: md5, md5: ",
    "no hash of what is not there": "path: none",
    "an etag": "path: plain, etag: abcdef, hash: md5",
    "an etag that is a number": "path: plain, etag: 1234, hash: md5",
    "an etag of DVC 2": "path: plain, etag: abcdef",
    "a checksum": "path: plain, checksum: abcdef",
    "an etag beside an MD5": f"path: plain, md5: {_MD5}, hash: md5, etag: abcdef, version_id: '1'",
    "a null etag": f"path: plain, md5: {_MD5}, hash: md5, etag: ",
    "a cloud": f"path: plain, md5: {_MD5}, hash: md5, cloud: {{r: {{etag: abc, version_id: '1'}}}}",
    "a cloud alone": "path: plain, cloud: {r: {etag: abc, version_id: '1'}}",
    "an MD5 in a cloud": f"path: plain, hash: md5, cloud: {{r: {{md5: {_MD5}}}}}",
    "an old hash in a cloud": f"path: windows, cloud: {{r: {{md5: {_OLD}}}}}",
    "an MD5 in a cloud goes first": f"path: plain, md5: {_NEW}, hash: md5, cloud: {{r: {{md5: {_MD5}}}}}",
    "files": f"path: folder, hash: md5, {_files(_NEW)}",
    "other files": f"path: folder, hash: md5, {_files(_MD5)}",
    "files without a kind": f"path: folder, {_files(_OLD)}",
    "files before an MD5": f"path: folder, hash: md5, md5: {_md5(_tree(_MD5))}.dir, {_files(_NEW)}",
    "no files": f"path: folder, hash: md5, md5: {_md5(_tree(_NEW))}.dir, files: []",
    "another kind": f"path: plain, hash: sha256, md5: {_MD5}",
    "a kind of DVC 2 by name": f"path: windows, hash: md5-dos2unix, md5: {_OLD}",
    "a remote": f"path: plain, md5: {_MD5}, hash: md5, remote: r, push: false",
}

HEADS: Mapping[str, str] = {
    "always changed": "always_changed: true\n",
    "frozen": "frozen: true\n",
    "locked": "locked: true\n",
    "a checksum of DVC 1": "md5: 0123456789abcdef0123456789abcdef\nwdir: .\n",
    "an import without a checksum": f"frozen: true\ndeps: [{{path: ../x, md5: {_MD5}, hash: md5}}]\n",
    "a null checksum": "md5:\ndeps:\n",
    "an empty checksum": "md5: ''\ndeps: []\nalways_changed: true\n",
}

REFUSED = {
    "digits that are no text": "path: plain, md5: 12345678901234567890123456789012, hash: md5",
    "digits that are no text, of DVC 2": "path: plain, md5: 12345678901234567890123456789012",
    "two clouds": f"path: plain, md5: {_MD5}, hash: md5, cloud: {{a: {{etag: abc}}, b: {{etag: abc}}}}",
    "an unknown key in a cloud": f"path: plain, md5: {_MD5}, cloud: {{a: {{path: abc}}}}",
    "a null cloud": f"path: plain, md5: {_MD5}, cloud: ",
    "a short etag": "path: plain, etag: a",
    "an etag that is a short number": "path: plain, etag: 12",
    "an etag that is a list": "path: plain, etag: [abc]",
    "a version that is a number": "path: plain, etag: abcd, version_id: 1",
    "a file without a path": f"path: folder, hash: md5, files: [{{md5: {_MD5}}}]",
    "an unknown key of a file": f"path: folder, hash: md5, files: [{{relpath: a, md5: {_MD5}, hash: md5}}]",
    "a null size": f"path: plain, md5: {_MD5}, size: ",
}

_ASK = """
import json, os, sys
from dvc.repo import Repo
answers = []
for folder in json.load(sys.stdin):
    os.chdir(folder)
    try:
        with Repo() as repo:
            answers.append(repo.status())
    except Exception as exc:
        answers.append(type(exc).__name__)
print("\\n" + json.dumps(answers))
"""
_TEXTS = {
    **{name: f"outs:\n- {{{entry}}}\n" for name, entry in (ENTRIES | REFUSED).items()},
    **{name: f"{head}outs:\n- {{path: plain, md5: {_NEW}, hash: md5}}\n" for name, head in HEADS.items()},
}


def _make(folder: Path, text: str) -> None:
    (folder / ".dvc").mkdir(parents=True)
    (folder / "folder").mkdir()
    for path, content in (
        ("plain", _PLAIN),
        ("windows", _WINDOWS),
        ("folder/a", _WINDOWS),
        ("folder/b", _PLAIN),
        ("t.dvc", text.encode()),
        (".dvc/config", b"[core]\n    no_scm = True\n"),
    ):
        (folder / path).write_bytes(content)
    # Both caches hold everything under every name that is recorded: it is hashes that are compared here.
    trees = {f"{_md5(_tree(first))}.dir": _tree(first) for first in (_OLD, _NEW, _MD5)}
    for name, content in {_OLD: _WINDOWS, _NEW: _WINDOWS, _MD5: _PLAIN, **trees}.items():
        for cache in ("", "files/md5/"):
            cached = folder / ".dvc/cache" / f"{cache}{name[:2]}" / name[2:]
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.write_bytes(content)
            cached.chmod(0o444)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    made = {}
    for name, text in _TEXTS.items():
        made[name] = tmp_path_factory.mktemp("recorded") / "p"
        _make(made[name], text)
    return made


@pytest.fixture(scope="module")
def dvc_says(folders: Mapping[str, Path]) -> Mapping[str, object]:
    """The status; or the name of the error."""
    first = next(iter(folders.values()))
    answers = dvc_python(first, _ASK, json.dumps([str(folder) for folder in folders.values()]))
    return dict(zip(folders, json.loads(answers.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", [*ENTRIES, *HEADS])
def test_the_status_is_that_of_dvc(
    folders: Mapping[str, Path], dvc_says: Mapping[str, object], name: str
) -> None:
    assert status_document(status_of(folders[name])) == dvc_says[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_dvc_refuses_is_refused_with_its_line(
    folders: Mapping[str, Path], dvc_says: Mapping[str, object], name: str
) -> None:
    assert isinstance(dvc_says[name], str), "DVC takes it"
    with pytest.raises(PipelineInvalid) as caught:
        status_of(folders[name])
    assert caught.value.place is not None
    assert (caught.value.place.path, caught.value.place.line) == ("t.dvc", 2)
