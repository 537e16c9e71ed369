"""`metrics`, `params` and `exp show` give what real DVC gives in the same project: tables, JSON and exit codes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Finished, Project, Service, git, new_project
from tests.e2e.in_process import Question, ask_dvc, ask_wherry

_FILES = {
    "dvc.yaml": """\
vars: [{top: top.json}]
stages:
  made:
    cmd: python3 make.py
    deps: [lr, make.py]
    params: [train.lr, nested.x, 'list.1', layers.a, gone.key, conf/p.toml: [o.age], conf/p.py: null]
    metrics: [made.json, d]
  none:
    cmd: "true"
    metrics:
    - nowhere.json
    - plain.json: {cache: false}
    - scalar.json: {cache: false}
    - deep/m.yaml: {cache: false}
    - bad.yaml: {cache: false}
    - t.toml: {cache: false}
metrics: ['${top}', ignored.json]
params: [conf/whole.yaml]
""",
    "params.yaml": "train: {lr: 0.1, momentum: 0.9}\nnested: {x: 1, y: [1, 2]}\nlist: [1, 2, 3]\nnothing: null\n"
    "layers: {a: {size: 3, kind: conv}, b: {size: 4}}\nname: text\ngone: {key: 1}\nodd: 'käse ünd'\n",
    "conf/p.toml": "[o]\nage = 3\nrest = 4\n",
    "conf/p.py": "T = (1, 2)\nA = 1.5\nclass C:\n    x = 'y'\n",
    "conf/whole.yaml": "q: [1, 2]\nr: {s: {t: 1}}\n",
    "lr": "0.25\n",
    "make.py": "import json, pathlib\nlr = float(open('lr').read())\npathlib.Path('d').mkdir(exist_ok=True)\n"
    "pathlib.Path('d/one.json').write_text(json.dumps({'k': lr}))\n"
    "pathlib.Path('made.json').write_text(json.dumps({'auc': lr, 'folds': [1, 2]}))\n",
    "plain.json": '{"acc": 0.123456789, "n": {"l": [1, 2], "t": true, "s": "x", "z": null, "e": {}, "i": 3}}\n',
    "deep/m.yaml": "a: 1\nb: {c: .nan, d: 1.0e-7}\n",
    "scalar.json": "0.5\n",
    "bad.yaml": "a: [\n",
    "t.toml": "v = 1.5\n",
    "top.json": '{"top": {"深": 1}}\n',
    "sub/dvc.yaml": """\
vars: [v.yaml]
stages:
  s: {cmd: 'echo ${a} ${k.j} ${l[0]}', params: [../params.yaml: [name]], metrics: [sm.json: {cache: false}]}
metrics: [../top.json, list.json, inner/x.json]
""",
    "sub/params.yaml": "a: 5\nb: 6\nl: [1]\n",
    "sub/v.yaml": "k: {j: 1, l: 2}\n",
    "sub/sm.json": '{"x": 1}\n',
    "sub/list.json": "[1]\n",
    ".gitignore": "ignored.json\n",
}
_CHANGED = {
    "plain.json": '{"acc": 0.5, "n": {"t": false, "s": "x", "i": 3, "new": 1}}\n',
    "scalar.json": "0.75\n",
    "params.yaml": "train: {lr: 0.2, momentum: 0.9}\nnested: {x: 1, y: [1, 3], w: 2}\nlist: [1, 2]\n"
    "layers: {a: {size: 5}}\nname: text\nodd: 'käse'\n",
    "sub/params.yaml": "a: 7\nb: 6\nl: [1]\n",
    "ignored.json": '{"seen": 1}\n',
    "deep/m.yaml": "- 1\n",
    "top.json": '{"top": {"深": 2}}\n',
}

_JSON = (
    ("", ("metrics", "show", "--json")),
    ("sub", ("metrics", "show", "--json")),
    ("", ("metrics", "show", "--json", "-a")),
    ("", ("metrics", "show", "--json", "-T")),
    ("sub", ("metrics", "show", "--json", "-A")),
    ("", ("metrics", "show", "--json", "absent.json", "plain.json", "conf", "d")),
    ("sub", ("metrics", "show", "--json", "../plain.json", "sm.json", "-R")),
    ("", ("metrics", "diff", "--json")),
    ("sub", ("metrics", "diff", "--json", "first")),
    ("", ("metrics", "diff", "--json", "--all", "first", "second")),
    ("", ("metrics", "diff", "--json", "second", "HEAD", "--all")),
    ("", ("metrics", "diff", "--json", "workspace", "first")),
    ("", ("metrics", "diff", "--json", "first", "--targets", "plain.json", "scalar.json", "--all")),
    ("", ("params", "diff", "--json")),
    ("sub", ("params", "diff", "--json", "first")),
    ("", ("params", "diff", "--json", "--all", "first", "second")),
    ("", ("params", "diff", "--json", "--deps", "--all")),
    ("", ("params", "diff", "--json", "--targets", "conf/whole.yaml", "params.yaml", "--all")),
    ("sub", ("exp", "show", "--json", "-n", "3")),
    ("", ("exp", "show", "--json", "-T", "--sha", "--hide-workspace")),
)
_TABLES = (
    ("", ("metrics", "show")),
    ("sub", ("metrics", "show", "-a", "--precision", "2")),
    ("", ("metrics", "show", "--md")),
    ("", ("metrics", "show", "deep/m.yaml")),
    ("", ("metrics", "diff")),
    ("", ("metrics", "diff", "--all", "--md", "first")),
    ("", ("metrics", "diff", "--no-path", "--precision", "2", "first", "second")),
    ("", ("metrics", "diff", "second", "second")),
    ("", ("metrics", "diff", "second", "second", "--md")),
    ("", ("params", "diff")),
    ("sub", ("params", "diff", "--all", "--md")),
    ("", ("params", "diff", "--no-path", "--deps", "first")),
    ("", ("exp", "show", "-A")),
    ("", ("exp", "show", "--md", "--only-changed", "--rev", "first", "--rev", "HEAD")),
    (
        "sub",
        ("exp", "show", "--csv", "-a", "-n", "2", "--drop", "train", "--keep", "train.lr", "--drop", "sub"),
    ),
)
_REFUSED = (
    ("", ("metrics", "diff", "nope")),
    ("", ("params", "diff", "HEAD", "no-such-run")),
)
_ALL: tuple[Question, ...] = (*_JSON, *_TABLES, *_REFUSED)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Project:
    """Two commits and a workspace; the second commit's cached metrics are in DVC's cache only."""
    project = new_project(tmp_path_factory.mktemp("results") / "project", service, _FILES)
    # Commits of one second have no order in DVC's tables.
    for later_s, lr in ((60, "0.25"), (120, "0.5")):
        project.write({"lr": f"{lr}\n"})
        project.dvc("repro", "made").expect(0)
        project.commit(lr, later_s=later_s)
        git(project.root, "tag", "first" if lr == "0.25" else "second")
    project.write(_CHANGED)
    (project.root / "made.json").unlink()
    (project.root / "sub" / "sm.json").unlink()
    return project


@pytest.fixture(scope="module")
def answers(project: Project, service: Service) -> Mapping[Question, tuple[Finished, Finished]]:
    """DVC's and ours."""
    theirs, ours = ask_dvc(project.root, _ALL), ask_wherry(service, project.root, _ALL)
    return {question: pair for question, *pair in zip(_ALL, theirs, ours, strict=True)}  # type: ignore[misc]


@pytest.mark.parametrize("question", _JSON, ids=lambda question: " ".join((question[0], *question[1])))
def test_the_json_is_that_of_dvc(
    answers: Mapping[Question, tuple[Finished, Finished]], question: Question
) -> None:
    theirs, ours = answers[question]
    assert ours.code == theirs.code == 0, ours.err + theirs.err
    assert json.dumps(_plain(ours.json())) == json.dumps(_plain(theirs.json()))


@pytest.mark.parametrize("question", _TABLES, ids=lambda question: " ".join((question[0], *question[1])))
def test_the_table_is_that_of_dvc(
    answers: Mapping[Question, tuple[Finished, Finished]], question: Question
) -> None:
    theirs, ours = answers[question]
    assert ours.code == theirs.code == 0, ours.err + theirs.err
    # DVC gives the files of a comparison in no order.
    order = sorted if "diff" in question[1] else list
    assert order(ours.out.splitlines()) == order(theirs.out.splitlines())


@pytest.mark.parametrize("question", _REFUSED, ids=lambda question: " ".join(question[1]))
def test_an_unknown_revision_ends_as_with_dvc(
    answers: Mapping[Question, tuple[Finished, Finished]], question: Question
) -> None:
    theirs, ours = answers[question]
    assert ours.code == theirs.code == 255
    assert f"unknown Git revision '{question[1][-1]}'" in ours.err
    assert (ours.out, theirs.out) == ("", "")


def _plain(value: Any) -> Any:
    """Of errors the kind counts: DVC names files from where its own file system stands. Comparisons are in no order."""
    if isinstance(value, dict):
        if set(value) == {"type", "msg"}:
            return value["type"]
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def test_order_of_files_is_that_of_dvc(answers: Mapping[Question, tuple[Finished, Finished]]) -> None:
    theirs, ours = answers[_JSON[0]]
    assert list(ours.json()[""]["data"]) == list(theirs.json()[""]["data"])
    assert ours.out.count("\n") == theirs.out.count("\n") == 1
    assert Path(next(iter(ours.json()[""]["data"]))).name == "made.json"
