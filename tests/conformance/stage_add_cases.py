"""Stages to be added: by name, the files, the folder, the stage, and whether it is forced."""

from collections.abc import Mapping

from wherry.service.domain.dvc.stage_add import NewOutput, NewStage
from wherry.service.domain.records import OutputKind

COMMENTED = """\
# the pipeline
vars:
- a: 1   # one

stages:
  # first
  prepare:
      cmd: python prepare.py --long ${a}  # why
      deps:
      - raw   # from the lab
      - prepare.py
      outs: [data]


  train:
    desc: Trains it.
    cmd:
    - python train.py
    - echo done
    wdir: w
    deps: ["x", 'y']  # two
    params:
    # rates
    - lr
    - other.yaml:
        - k
    outs:
    - model.pkl:   # big
        cache: false
        desc: the model
        labels: [a, b]
        remote: store
        push: false
    - m2: {persist: true, meta: {by: me}}
    metrics:
      - m.json: {cache: false, type: t}
    plots:
    - p.csv: {x: a, y: b, template: smooth}
    frozen: true
    meta: {wherry: {image: x}}  # set
metrics:
- all.json
"""
PLAIN = COMMENTED.replace(" ${a}", "").replace("--long", "--l")


def out(
    path: str, kind: OutputKind = OutputKind.OUT, *, cache: bool = True, persist: bool = False
) -> NewOutput:
    return NewOutput(path=path, kind=kind, cache=cache, persist=persist)


_M, _P = OutputKind.METRIC, OutputKind.PLOT
_BASE = NewStage(name="s", command=("echo hi",))
_FULL = NewStage(
    name="train",
    command=("python", "train.py", "--msg", "two words", "", 'q"uo te', "$X"),
    wdir="w",
    deps=("y", "x", "./z", "d/"),
    params=("lr,b.c", "a", "f.yaml:k2,k1", "whole.toml:", "a.json:x"),
    outs=(
        out("o2"),
        out("o1"),
        out("model.pkl", cache=False),
        out("keep", persist=True),
        out("keep2", cache=False, persist=True),
        out("m.json", _M),
        out("n.json", _M, cache=False),
        out("p.csv", _P),
        out("q.csv", _P, cache=False),
    ),
    always_changed=True,
    desc="What it does: 'this'",
)

WRITTEN: Mapping[str, tuple[Mapping[str, str], str, NewStage, bool]] = {
    "a new file": ({}, "", _BASE, False),
    "everything in a new file": ({}, "", _FULL, False),
    "everything in a folder": ({"dvc.yaml": PLAIN}, "sub", _FULL, False),
    "an empty file": ({"dvc.yaml": ""}, "", _BASE, False),
    "only a comment": ({"dvc.yaml": "# nothing yet\n"}, "", _BASE, False),
    "no stages yet": ({"dvc.yaml": "# top\nparams: [a.yaml] # here\n"}, "", _BASE, False),
    "beside others": ({"dvc.yaml": PLAIN}, "", _BASE, False),
    "everything replaced": ({"dvc.yaml": PLAIN}, "", _FULL, True),
    "replaced by less": ({"dvc.yaml": PLAIN}, "", NewStage(name="train", command=("x",), desc="new"), True),
    "lists of the same length": (
        {"dvc.yaml": PLAIN},
        "",
        NewStage(name="train", command=("x",), wdir="w", deps=("a", "y"), params=("mu", "other.yaml:j")),
        True,
    ),
    "forced, but not there": ({"dvc.yaml": PLAIN}, "", _BASE, True),
    "carriage returns": ({"dvc.yaml": PLAIN.replace("\n", "\r\n")}, "", _FULL, True),
    "flow style": ({"dvc.yaml": "stages: {a: {cmd: x}}\n"}, "", _BASE, False),
    "odd indents": ({"dvc.yaml": "stages:\n      a:\n            cmd: x\n"}, "", _BASE, False),
    "anchors elsewhere": (
        {"dvc.yaml": "stages:\n  a: &a\n    cmd: x\n    deps: [i]\n  b:\n    <<: *a\n    outs: [o]\n"},
        "",
        _BASE,
        False,
    ),
    "beside a foreach": (
        {"dvc.yaml": "stages:\n  g:\n    foreach: [1, 2]\n    do: {cmd: 'x ${item}'}\n"},
        "",
        _BASE,
        False,
    ),
    "a templated stage replaced": (
        {"dvc.yaml": COMMENTED},
        "",
        NewStage(name="prepare", command=("x",), deps=("raw",), outs=(out("data"),)),
        True,
    ),
    "a foreach replaced": (
        {"dvc.yaml": "stages:\n  g:\n    foreach: [1, 2]\n    do: {cmd: 'x ${item}', desc: old}\n"},
        "",
        NewStage(name="g", command=("x",), desc="new"),
        True,
    ),
    "what lies outside": (
        {"dvc.yaml": PLAIN},
        "sub",
        NewStage(
            name="s",
            command=("x",),
            deps=("../../lib.py", "../in", "s3://b/k", "/none/such"),
            params=("../../p.yaml:k", "../q.yaml:"),
            outs=(out("../../o", cache=False), out("../../m", _M, cache=False), out("/none/o", cache=False)),
        ),
        False,
    ),
    "beside a stage that reads elsewhere": (
        {"dvc.yaml": "stages:\n  a: {cmd: x, deps: [s3://b/k, ../lib], outs: [{../o: {cache: false}}]}\n"},
        "",
        NewStage(name="s", command=("x",), deps=("../o",)),
        False,
    ),
    "a long command": ({}, "", NewStage(name="s", command=("echo " + "word " * 40,)), False),
    "a command of lines": ({}, "", NewStage(name="s", command=("a\nb  \n c",)), False),
    "a command that looks like a number": ({}, "", NewStage(name="s", command=("12",)), False),
    "whole default parameters": ({}, "", NewStage(name="s", command=("x",), params=("params.yaml:",)), False),
    "no parameters at all": ({}, "", NewStage(name="s", command=("x",), params=("",)), False),
    "repeated keys": ({}, "", NewStage(name="s", command=("x",), params=("b,a,b", "params.yaml:a")), False),
    "odd names": (
        {},
        "",
        NewStage(name="sp ace-ü_1", command=("x",), deps=("ü", "a b", "1", "true", "x:y")),
        False,
    ),
    "a name that is a number": ({}, "", NewStage(name="1", command=("x",)), False),
    "wdir here": ({}, "", NewStage(name="s", command=("x",), wdir="./"), False),
    "wdir above": ({}, "sub", NewStage(name="s", command=("x",), wdir="..", deps=("a",)), False),
    "paths above": (
        {},
        "sub",
        NewStage(name="s", command=("x",), deps=("../a",), outs=(out("../b"),)),
        False,
    ),
}

REFUSED: Mapping[str, tuple[Mapping[str, str], str, NewStage, bool]] = {
    "no command": ({}, "", NewStage(name="s", command=()), False),
    "an empty command": ({}, "", NewStage(name="s", command=("",)), False),
    "an empty name": ({}, "", NewStage(name="", command=("x",)), False),
    **{
        f"{mark} in the name": ({}, "", NewStage(name=f"a{mark}b", command=("x",)), False)
        for mark in "./:@$[,\\"
    },
    "it is there already": ({"dvc.yaml": PLAIN}, "", NewStage(name="train", command=("x",)), False),
    "one path twice": ({}, "", NewStage(name="s", command=("x",), deps=("a", "./a")), False),
    "one output twice": ({}, "", NewStage(name="s", command=("x",), outs=(out("a"), out("a", _M))), False),
    "input and output": (
        {},
        "",
        NewStage(name="s", command=("x",), deps=("a",), outs=(out("b/../a"),)),
        False,
    ),
    "parameters as output": (
        {},
        "",
        NewStage(name="s", command=("x",), params=("k",), outs=(out("params.yaml"),)),
        False,
    ),
    "parameters as dep": (
        {},
        "",
        NewStage(name="s", command=("x",), params=("k",), deps=("params.yaml",)),
        False,
    ),
    "a file in its own output": (
        {},
        "",
        NewStage(name="s", command=("x",), deps=("o/f",), outs=(out("o"),)),
        False,
    ),
    "an output in its own output": (
        {},
        "",
        NewStage(name="s", command=("x",), outs=(out("o"), out("o/p"))),
        False,
    ),
    "another's output": (
        {"dvc.yaml": PLAIN},
        "",
        NewStage(name="s", command=("x",), outs=(out("data"),)),
        False,
    ),
    "inside another's output": (
        {"dvc.yaml": PLAIN},
        "",
        NewStage(name="s", command=("x",), outs=(out("data/a"),)),
        False,
    ),
    "another's output, from below": (
        {"dvc.yaml": PLAIN},
        "sub",
        NewStage(name="s", command=("x",), outs=(out("../data"),)),
        False,
    ),
    "a circle": (
        {"dvc.yaml": PLAIN},
        "",
        NewStage(name="s", command=("x",), deps=("data",), outs=(out("raw"),)),
        False,
    ),
    "a circle by replacing": (
        {"dvc.yaml": "stages:\n  a: {cmd: x, outs: [o]}\n  b: {cmd: x, deps: [o], outs: [p]}\n"},
        "",
        NewStage(name="a", command=("x",), deps=("p",), outs=(out("o"),)),
        True,
    ),
    "dvc.yaml as output": ({}, "", NewStage(name="s", command=("x",), outs=(out("w/dvc.yaml"),)), False),
    "a .dvc file as dep": ({}, "", NewStage(name="s", command=("x",), deps=("a.dvc",)), False),
    "a wdir outside": ({}, "", NewStage(name="s", command=("x",), wdir=".."), False),
    "an output outside that another stage writes": (
        {"dvc.yaml": "stages:\n  a: {cmd: x, outs: [{../o: {cache: false}}]}\n"},
        "",
        NewStage(name="s", command=("x",), outs=(out("../o", cache=False),)),
        False,
    ),
    "an output outside": ({}, "", NewStage(name="s", command=("x",), outs=(out("../out"),)), False),
    "a broken file": ({"dvc.yaml": "stages: {a: {cmd: x, dep: [i]}}\n"}, "", _BASE, False),
    "no YAML": ({"dvc.yaml": "stages: {a: [\n"}, "", _BASE, False),
    "a broken file elsewhere": ({"other/dvc.yaml": "stage: {}\n"}, "", _BASE, False),
}
