"""What DVC refuses is refused, what DVC takes is taken, and what is not understood yet is refused by name."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.harness import dvc_python, read_pipeline
from wherry.service.domain.errors import PipelineInvalid

# Loads all DVC files and checks the graph, as every command that walks the graph does.
_LOAD = """
import json, os, sys, tempfile
from dvc.exceptions import DvcException
from dvc.repo import Repo
answers = []
for files in json.load(sys.stdin):
    folder = os.path.realpath(tempfile.mkdtemp(dir="."))
    Repo.init(folder, no_scm=True).close()
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
            file.write(text)
    home = os.getcwd()
    os.chdir(folder)
    try:
        with Repo(folder) as repo:
            repo.index.check_graph()
        answers.append("")
    except Exception as exc:
        answers.append(type(exc).__name__)
    os.chdir(home)
print("\\n" + json.dumps(answers))
"""


def _stage(body: str) -> Mapping[str, str]:
    return {"dvc.yaml": f"stages:\n  a: {{cmd: x, {body}}}\n"}


def _stages(text: str) -> Mapping[str, str]:
    return {"dvc.yaml": f"stages:\n{text}"}


def _file(text: str) -> Mapping[str, str]:
    return {"dvc.yaml": text}


def _config(more: str) -> Mapping[str, str]:
    return {".dvc/config": f"[core]\n    no_scm = True\n{more}"}


_MD5 = "b026324c6904b2a9cb4b88d6d61c81d1"
_DATA = f"outs:\n- {{md5: {_MD5}, size: 2, hash: md5, path: data}}\n"

REFUSED_BY_DVC: Mapping[str, Mapping[str, str]] = {
    "not a mapping": _file("- a\n"),
    "text": _file("hello\n"),
    "unknown top-level key": _file("stage: {}\n"),
    "stages null": _file("stages:\n"),
    "stages list": _file("stages: []\n"),
    "syntax": _file("stages: {a: [\n"),
    "duplicate key": _file("stages:\n  a: {cmd: x}\n  a: {cmd: y}\n"),
    "duplicate key inside": _stage("deps: [i], deps: [j]"),
    "no cmd": _stages("  a: {deps: [i]}\n"),
    "stage null": _stages("  a:\n"),
    "cmd number": _stages("  a: {cmd: 1}\n"),
    "unknown stage key": _stage("dep: [i]"),
    "locked": _stage("locked: true"),
    "outs_no_cache": _stage("outs_no_cache: [o]"),
    "wdir null": _stage("wdir:"),
    "deps null": _stage("deps:"),
    "deps text": _stage("deps: i"),
    "deps mapping": _stage("deps: [{i: {}}]"),
    "deps number": _stage("deps: [1]"),
    "out null flags": _stage("outs: [{o: }]"),
    "out unknown flag": _stage("outs: [{o: {cached: true}}]"),
    "out cache text": _stage("outs: [{o: {cache: 'no'}}]"),
    "metric xpath": _stage("metrics: [{m: {xpath: x}}]"),
    "plot flag number": _stage("plots: [{p: {x: 1}}]"),
    "plot flags list": _stage("plots: [{p: [{x: a}]}]"),
    "plot flag on out": _stage("outs: [{o: {x: a}}]"),
    "frozen text": _stage("frozen: 'yes'"),
    "desc number": _stage("desc: 1"),
    "params text": _stage("params: lr"),
    "params value not a list": _stage("params: [{p.yaml: lr}]"),
    "top params mapping": _file("params: [{a: b}]\n"),
    "top metrics mapping": _file("metrics: [{a.json: {}}]\n"),
    "top plots mapping": _file("plots: {a: {}}\n"),
    "artifact without path": _file("artifacts: {m: {type: model}}\n"),
    "artifact unknown key": _file("artifacts: {m: {path: x, kind: y}}\n"),
    "top plot y number": _file("plots: [{a: {y: 1}}]\n"),
    "top plot x list": _file("plots: [{a: {x: [b]}}]\n"),
    "top plot unknown property": _file("plots: [{a: {header: true}}]\n"),
    "top plot text": _file("plots: [{a: b}]\n"),
    "artifact type number": _file("artifacts: {m: {path: x, type: 1}}\n"),
    "artifact labels text": _file("artifacts: {m: {path: x, labels: y}}\n"),
    "vars mapping": _file("vars: {a: 1}\n"),
    "empty name": _stages("  '': {cmd: x}\n"),
    "name with at": _stages("  s@x: {cmd: x}\n"),
    "one output in two stages": _stages("  a: {cmd: x, outs: [o]}\n  b: {cmd: x, outs: [./o]}\n"),
    "one output in two sections": _stage("outs: [o], metrics: [o]"),
    "one output in two spellings": _stage("outs: [o, ./o]"),
    "output inside an output": _stages("  a: {cmd: x, outs: [d]}\n  b: {cmd: x, outs: [d/e/f]}\n"),
    "output around an output": _stages("  b: {cmd: x, outs: [d/e/f]}\n  a: {cmd: x, outs: [d]}\n"),
    "output that a .dvc file tracks": {**_stage("outs: [data]"), "data.dvc": _DATA},
    "one output in two stages outside": _stages(
        "  a: {cmd: x, outs: [../o]}\n  b: {cmd: x, outs: [../x/../o]}\n"
    ),
    "one output in two stages elsewhere": _stages(
        "  a: {cmd: x, outs: [/t/o]}\n  b: {cmd: x, outs: [/t/x/../o]}\n"
    ),
    "output inside an output outside": _stages(
        "  a: {cmd: x, outs: [../o]}\n  b: {cmd: x, outs: [../o/i]}\n"
    ),
    "output inside an output at a URL": _stages(
        "  a: {cmd: x, outs: [s3://b/o]}\n  b: {cmd: x, outs: [s3://b/o/i]}\n"
    ),
    "folder above around own output": _stage("deps: [..], outs: [o]"),
    "cycle outside": _stages(
        "  a: {cmd: x, deps: [../p], outs: [o]}\n  b: {cmd: x, deps: [o], outs: [../p/q]}\n"
    ),
    "cycle at a URL": _stages(
        "  a: {cmd: x, deps: [s3://b/], outs: [o]}\n  b: {cmd: x, deps: [o], outs: [s3://b/q]}\n"
    ),
    "cycle": _stages("  a: {cmd: x, deps: [p], outs: [o]}\n  b: {cmd: x, deps: [o], outs: [p]}\n"),
    "cycle of three": _stages(
        "  a: {cmd: x, deps: [r], outs: [o]}\n  b: {cmd: x, deps: [o/1], outs: [p/1]}\n  c: {cmd: x, deps: [p], outs: [r]}\n"
    ),
    "cycle through params": _stage("params: [{p.json: [k]}], outs: [p.json]"),
    "own output as dep": _stage("deps: [o], outs: [o]"),
    "folder around own output": _stage("deps: [d], outs: [d/o]"),
    "file in own output": _stage("deps: [o/f], outs: [o]"),
    "whole project as dep": _stage("deps: [.], outs: [o]"),
    "dvc.yaml as output": _stage("outs: [sub/dvc.yaml]"),
    ".dvc as output": _stage("outs: [x.dvc]"),
    "dvc.yaml as dep": _stage("deps: [dvc.yaml]"),
    ".dvc as dep": _stage("deps: [x.dvc]"),
    "data unknown key": {"data.dvc": _DATA + "cmd: x\n"},
    "data out unknown key": {"data.dvc": f"outs: [{{md5: {_MD5}, hash: md5, path: data, metric: true}}]\n"},
    "data out size text": {"data.dvc": f"outs: [{{md5: {_MD5}, size: '2', hash: md5, path: data}}]\n"},
    "data tracked twice": {"a.dvc": _DATA, "b.dvc": _DATA},
    "config with a line of neither kind": _config("junk\n"),
    "config with a colon": _config("remote: x\n"),
    "config with another comment": _config("; x\n"),
    "config with text behind a section": _config("[cache] x\n"),
    "config with an open section": _config("[cache\n"),
    "config with a section without a name": _config("[]\n"),
    "config with a stray bracket": _config("]\n"),
    "config with a section twice": _config("['core']\n"),
    "config with a setting twice": _config("no_scm = True\n"),
    "config with an open text": _config("remote = '''x\n"),
    "config with an unknown option": _config("[parsing]\nlists = append\n"),
    "config with an unknown value": _config("[parsing]\nlist = x\n"),
}

TAKEN_BY_BOTH: Mapping[str, Mapping[str, str]] = {
    "hash of DVC 2": {"data.dvc": f"outs:\n- md5: {_MD5}\n  size: 2\n  path: data\n"},
    "empty": _file(""),
    "only a comment": _file("# nothing\n"),
    "no stages": _file("stages: {}\n"),
    "top-level sections": _file(
        "params: [a.yaml]\nmetrics: [m.json]\nplots: [p.csv, {q: {x: {g: a}, y: {f: [b]}}, r: , s: {y: [a]}}]\nartifacts: {m: {path: x}}\n"
    ),
    "no flags": _stage(
        "outs: [{o: {}}, {p: {cache: false}, q: {push: false, remote: r, desc: d, labels: [l]}}]"
    ),
    "checkpoint": _stage("outs: [{o: {checkpoint: true}}]"),
    "plot flags": _stage("plots: [{p: {x: a, y: b, header: false, template: t, cache: false}}]"),
    "repeated dep and out": _stage("deps: [p, p, ./p], outs: [o, o, {o: {cache: false}}]"),
    "odd names": _stages("  a.b: {cmd: x}\n  a/b: {cmd: x}\n  a:b: {cmd: x}\n  sp ace: {cmd: x}\n"),
    "dollars": _stages("  a: {cmd: 'echo $HOME $(date) ${unfinished'}\n"),
    "anchors": _file("stages:\n  a: &a {cmd: x, deps: [i]}\n  b: {<<: *a, outs: [o]}\n"),
    "persist": _stage("outs: [{o: {persist: true}}], metrics: [{m: {persist: true, cache: false}}]"),
    "urls": _stage("deps: [s3://b/k, 'https://x.y/z', 'ds://x'], outs: [{s3://b/out: {cache: false}}]"),
    "absolute paths": _stage("deps: [/tmp/x], outs: [/tmp/y]"),
    "paths above the project": _stage("deps: [../x, ../../z], params: [{../p.yaml: [k]}], outs: [../y]"),
    "wdir above the project": _stage("wdir: .., deps: [x], outs: [y]"),
    "two stages outside": _stages("  a: {cmd: x, outs: [../d]}\n  b: {cmd: x, outs: [../d2, ../../d]}\n"),
    "meta": _stage("meta: {wherry: {image: x}, other: [1]}"),
    "dvc.lock as out": _stage("outs: [sub/dvc.lock]"),
    "siblings": _stages("  a: {cmd: x, outs: [d]}\n  b: {cmd: x, outs: [d2, d.x, d-y]}\n"),
    "data": {"data.dvc": _DATA, **_stage("deps: [data], outs: [o]")},
    "data with wdir": {"sub/x.dvc": "wdir: ..\n" + _DATA},
    "frozen import": {
        "data.dvc": "md5: 0123456789abcdef0123456789abcdef\nfrozen: true\ndeps: [{path: d, repo: {url: x, rev_lock: y}}]\n"
        + _DATA
    },
    "import of a URL that is not frozen": {
        "data.dvc": "frozen: false\ndeps: [{path: 'https://x.y/z', etag: '123', hash: md5}]\n" + _DATA
    },
    "import of a repository that is not frozen": {
        "data.dvc": "deps: [{path: d, repo: {url: 'https://x.y/z.git', rev_lock: y}}]\n" + _DATA
    },
    "import from beside the project that is not frozen": {"data.dvc": "deps: [{path: ../src/z}]\n" + _DATA},
    "no outs": {"data.dvc": "outs:\n"},
    "config of every kind": _config(
        "  # x\n\nremote = '''a\njunk\n'''  # y\n'autostage' = true\nNO_SCM = True\n"
        "[ CACHE ]  # x\n\ttype = copy, 'symlink'\n['remote \"a b\"']\nurl = \"/t/a#b\" # c\n"
    ),
}

NOT_READ_YET: Mapping[str, tuple[Mapping[str, str], str, int]] = {
    "import from within": ({"data.dvc": "deps:\n- path: made\n" + _DATA}, "imports from within", 2),
}


@pytest.fixture(scope="module")
def dvc_answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """By case: the name of DVC's error, or nothing."""
    cases = {**REFUSED_BY_DVC, **TAKEN_BY_BOTH}
    answers = dvc_python(tmp_path_factory.mktemp("cases"), _LOAD, json.dumps(list(cases.values())))
    return dict(zip(cases, json.loads(answers.splitlines()[-1]), strict=True))


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("case", REFUSED_BY_DVC)
def test_what_dvc_refuses_is_refused_with_its_line(
    case: str, dvc_answers: Mapping[str, str], tmp_path: Path
) -> None:
    _write(tmp_path, REFUSED_BY_DVC[case])
    assert dvc_answers[case], "DVC takes it"
    with pytest.raises(PipelineInvalid) as caught:
        read_pipeline(tmp_path)
    assert caught.value.place is not None
    assert caught.value.place.path in REFUSED_BY_DVC[case]
    assert caught.value.place.line > 0


@pytest.mark.parametrize("case", TAKEN_BY_BOTH)
def test_what_dvc_takes_is_taken(case: str, dvc_answers: Mapping[str, str], tmp_path: Path) -> None:
    _write(tmp_path, TAKEN_BY_BOTH[case])
    assert not dvc_answers[case]
    read_pipeline(tmp_path)


@pytest.mark.parametrize("case", NOT_READ_YET)
def test_what_is_not_understood_is_refused_by_name_at_its_place(case: str, tmp_path: Path) -> None:
    files, feature, line = NOT_READ_YET[case]
    _write(tmp_path, files)
    with pytest.raises(PipelineInvalid, match="this version of Wherry does not read") as caught:
        read_pipeline(tmp_path)
    assert feature in caught.value.message
    assert caught.value.place is not None
    assert caught.value.place.line == line
