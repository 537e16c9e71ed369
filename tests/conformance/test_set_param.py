"""`-S` leaves a parameters file as DVC would, or is refused where DVC refuses it."""

import json
from collections.abc import Mapping

import pytest

from tests.conformance.harness import dvc_python
from wherry.service.adapters import hydra_requests
from wherry.service.domain.dvc.override_grammar import BeyondBasics
from wherry.service.domain.dvc.set_param import apply_overrides
from wherry.service.domain.errors import InvalidInput

_APPLY = """
import json, os, sys, tempfile
from dvc.utils.hydra import apply_overrides
answers = []
for name, text, overrides in json.load(sys.stdin):
    path = os.path.join(tempfile.mkdtemp(dir="."), name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        apply_overrides(path, overrides)
        with open(path, encoding="utf-8") as file:
            answers.append(file.read())
    except Exception:
        answers.append(None)
print(json.dumps(answers))
"""

_YAML = """\
# top
lr: 0.001  # rate
n: 0x1F
e: 1e-5
s: 'quoted'
z: null
flag: yes
l: [1, 2, 3]
opt:
    name: adam  # nm
    beta: [0.9, 0.99]
    deep: {a: 1, b: {c: d}}
lst:
- a: 1
- b: 2
"""

_TYPED = [
    *(
        "1",
        "0.1",
        "1e-5",
        "1_000",
        "010",
        "0x1F",
        ".5",
        "5.",
        "inf",
        "-inf",
        "nan",
        "+3",
        "true",
        "False",
        "NULL",
    ),
    *(
        "",
        "yes",
        "None",
        "1e3",
        "1E3",
        "e",
        "1e",
        "TRUE",
        "trueish",
        "nullx",
        "infx",
        ".inf",
        "1__0",
        "1_",
        "_1",
        "00",
    ),
    *(
        "-0",
        "1.5_0",
        "1e1_0",
        "3x",
        "1.2.3",
        "1-2",
        "2020-01-01",
        "-x",
        "--x",
        "...",
        "%",
        "+",
        "*.txt",
        "$HOME",
    ),
    *(
        '"1"',
        "'1'",
        '"a\\nb"',
        '"a\\"b"',
        "'a\\\\'",
        "'it\\'s'",
        '""',
        "'a'b",
        "b'a'",
        "'a' ",
        " 'a'",
        '"\\\\"',
        '"é"',
    ),
    *(
        "a:b",
        "http://x/y?z",
        "a@b",
        "a=b",
        "(x)",
        "é",
        "a\\,b",
        "a\\ b",
        "a|b",
        "a{b",
        "[a",
        "{a:b}",
        ":x",
        "x:",
        "\\\\x",
    ),
    *(
        "a b",
        " a",
        "a ",
        " ",
        "1 2",
        "a (b)",
        " 5",
        "a : b",
        "[1, 2]",
        "{a: 1, b: 2}",
        "[ a , b ]",
        "[ 'a' , 1 ]",
    ),
    *(
        "a,b",
        "'a,b'",
        "[1,]",
        "[]",
        "[[[]]]",
        "{}",
        "{a:}",
        "{1:2,true:3}",
        "{a:{b:c}}",
        "{a b: 1}",
        "[a,[1,2],{x:1}]",
    ),
]
_EDITS = [
    *(
        "l.0=9",
        "l.5=9",
        "l[0]=1",
        "l=[4,5]",
        "opt.name=sgd",
        "opt.nope=1",
        "+opt.nope=1",
        "+new=1",
        "+a.b.c=2",
        "+lr=2",
    ),
    *(
        "++lr=2",
        "++new=3",
        "~lr",
        "~nope",
        "~opt.name",
        "~opt.name=adam",
        "~opt.name=x",
        "~l",
        "~l.0",
        "~z",
        "+z=1",
    ),
    *(
        "+opt={q:1}",
        "opt={q:1}",
        "opt={name:x}",
        "opt=3",
        "l={a:1}",
        "opt=[1]",
        "+l=[7]",
        "+l.3=1",
        "+l.0=1",
        "+lr.x=2",
    ),
    *(
        "lr.x=2",
        "+lr={a:1}",
        "opt.deep={a:5}",
        "opt.deep={z:5}",
        "+opt.deep={z:5}",
        "opt.deep.b.c=x",
        "opt.deep.b={c:1}",
    ),
    *(
        "lst.0.a=5",
        "lst.0={a:7}",
        "lst.1.c=2",
        "+lst.1.c=2",
        "lst.2=1",
        "db/x=1",
        "k@p=1",
        "=1",
        "lr",
        "x",
        "0=1",
    ),
    *(
        "l.01=1",
        "opt.beta.0=0.5",
        "opt.beta.-1=1",
        "$k=1",
        "+$k=1",
        "+a-b=1",
        "+a.0=1",
        "++opt.deep.b=3",
        "lr = 1",
    ),
    *(
        "++opt.x.y={a:[1]}",
        "~opt.deep.b.c",
        "~lst.0",
        "~lst.0.a",
        "+opt=null",
        "opt=null",
        "l=null",
        "lst=[1]",
    ),
]
_FILES: list[tuple[str, str, list[str]]] = [
    ("p.yaml", _YAML, ["lr=1", "+a.b=2", "a.b=3", "~s"]),
    ("p.yaml", "", ["+a=1"]),
    ("p.yaml", "a: ???\nb: 1\n", ["b=2"]),
    ("p.yaml", "a: &x {q: 1}\nb: *x\n", ["b.q=2"]),
    ("p.yaml", "a: 'no'\nb: \"x\"\nc: |\n  long\n  text\nd: 2020-01-01\n", ["b=2"]),
    ("p.yaml", "1: a\nb: 2\n", ["b=3"]),
    ("p.yaml", "- 1\n", ["b=3"]),
    ("p.yaml", "a: 1.0\nb: .5\nc: 1e3\nd: 0o17\ne: 1_000\nf: ~\ng: +1\nh: 'x y'\n", ["a=2"]),
    ("p.json", '{"a": 1, "b": {"c": "é"}}', ["a=2", "+b.d=[1,x]"]),
    ("p.yaml", "a: 1\nb: ${a}\nc: x${b}-${d.e}\nd: {e: [1, '${a}']}\n", ["a=5"]),
    ("p.yaml", "a: 1\nb: ${nope}\n", ["a=5"]),
    ("p.yaml", "a: 1\nb: ${oc.select:nope,7}\n# end\n", ["a=5"]),
    ("p.yaml", "a: 0x1F\nb: ${a}\nc: 2020-01-01\nd: 1e-5 # small\n", ["b=${d}"]),
    ("p.yaml", "a: \\${b}\nb: 1\n", ["b=2"]),
    ("p.json", '{"a": 1, "b": "${a}"}', ["a=2"]),
    ("p.toml", 'a = 1\nb = "${a}"\n', ["a=2"]),
]
# Beyond the basic grammar: functions and interpolations, which only Hydra reads.
_FUNCTIONS = [
    *(
        "int(3.7)",
        "int('3')",
        "int(x)",
        "str(3)",
        "str([1,2])",
        "float(3)",
        "float('1e3')",
        "bool(1)",
        "bool(0)",
    ),
    *(
        "bool(yes)",
        "bool('true')",
        "json_str({a:1})",
        "json_str([1,x])",
        "int([1.5,2.5])",
        "float({a:1})",
        "str(a b)",
    ),
    *(
        "sort([3,1,2])",
        "sort([3,1,2],reverse=true)",
        "sort(3,1)",
        "shuffle([1])",
        "int()",
        "int(1,2)",
        "nope(1)",
    ),
    *(
        "${lr}",
        "${opt.name}-x",
        "[${lr},2]",
        "{a:${lr}}",
        "${oc.decode:'[1]'}",
        "${nope}",
        "int(${lr})",
        "extend_list(1)",
    ),
    *(
        "choice(1)",
        "choice([1,2],[3])",
        "tag(a,choice(1,2))",
        "interval(0,1)",
        "glob(*)",
        "range(3)",
        "a(b)",
        "str(int(3.5))",
    ),
]
_TOML = """\
# top
title = "x"  # name
n = 1_000
f = 1e3
hex = 0x1F
flag = true
when = 2020-01-01T00:00:00Z
list = [
  1,  # one
  2,
]
mixed = [1, "a", {b = 2}]
lit = 'C:\\path'
multi = \"\"\"
two
lines\"\"\"

[opt] # opt
name = "adam"   # which
beta = [0.9, 0.99]
inline = {a = 1, b = {c = "d"}}

[opt.deep]
k = 1

[[lst]]
a = 1

[[lst]]
a = 2
dotted.key = 3
"""
_TOML_EDITS = [
    *("title=y", "n=2", "f=0.5", "hex=3", "flag=false", "opt.name=sgd", "opt.beta.0=0.5", "opt.inline.a=5"),
    *(
        "+new=1",
        "+opt.nope=2",
        "+opt.deep.x=[1,{y:2}]",
        "+sub.table.k=v",
        "~title",
        "~opt.deep",
        "~opt.name",
        "~lst",
    ),
    *(
        "list=[4,5]",
        "list.0=9",
        "lst.0.a=7",
        "lst.1.dotted.key=4",
        "opt.deep={k:2}",
        "+opt.deep={z:2}",
        "title=null",
    ),
    *(
        "+x=null",
        "title='a \"b\" c'",
        "title=5",
        "n=text",
        "nope=1",
        "mixed.2.b=3",
        "+opt={q:1}",
        "opt=3",
        "title=true",
    ),
    *(
        "f=inf",
        "f=nan",
        "title=[]",
        "+e={}",
        "lst=[1]",
        "+title=1",
        "++title=1",
        "title=int(3.7)",
        "title=${n}",
        "lit=x",
    ),
]
_PYTHON = """\
import os  # lr = 0.1
LR = 0.001  # rate
epochs: int = 10
NAME = 'adam'
flag = True
nothing = None
neg = -1
L = [1, 2]
D = {'a': 1, 'b': 2.5}
E = F = 3
def f():
    LR = 0.001
class Train:
    lr = 0.1
    deep = 4
    class Inner:
        k = 5
    def __init__(self):
        self.size = 6
"""
# Where DVC's own rewriting does what was asked for; the rest is held against reading it back.
_PYTHON_EDITS = [
    *(
        "LR=0.5",
        "LR=1e-5",
        "epochs=20",
        "flag=false",
        "nothing=3",
        "neg=5",
        "L=[3,4,5]",
        "L.0=9",
        "Train.lr=0.3",
    ),
    *(
        "Train.Inner.k=7",
        "Train.size=8",
        "LR=null",
        "LR=[1,a]",
        "LR=true",
        "nope=1",
        "Train.nope=1",
        "LR=int(3.7)",
    ),
]
# DVC takes sweeps for queued experiments only; here its rewriting alone is asked, which would write them as they are.
_SWEEPS = [["lr=1,2"], ["lr=choice(1,2)"], ["lr=range(1,3)"], ["s=a,b"]]
CASES = [
    *(("p.yaml", _YAML, sweep) for sweep in _SWEEPS),
    *(("p.yaml", _YAML, [f"s={value}"]) for value in _TYPED),
    *(("p.yaml", _YAML, [edit]) for edit in _EDITS),
    *(("p.yaml", _YAML, [f"s={value}"]) for value in _FUNCTIONS),
    *(("p.toml", _TOML, [edit]) for edit in _TOML_EDITS),
    *(("p.py", _PYTHON, [edit]) for edit in _PYTHON_EDITS),
    *_FILES,
]


@pytest.fixture(scope="module", autouse=True)
def _hydra() -> None:
    hydra_requests.prepare()


@pytest.fixture(scope="module")
def dvc_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, str | None]:
    """By case: the file as DVC leaves it, or None where it refuses."""
    answers = dvc_python(tmp_path_factory.mktemp("cases"), _APPLY, json.dumps(CASES))
    return dict(enumerate(json.loads(answers.splitlines()[-1])))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: " ".join(CASES[number][2]))
def test_file_becomes_what_dvc_makes_of_it(number: int, dvc_files: Mapping[int, str | None]) -> None:
    name, text, overrides = CASES[number]
    expected = dvc_files[number]
    if expected is None or overrides in _SWEEPS:
        with pytest.raises(InvalidInput):
            _set(text.encode(), name, overrides)
    else:
        assert _set(text.encode(), name, overrides).decode() == expected


def _set(data: bytes, name: str, overrides: list[str]) -> bytes:
    try:
        return apply_overrides(data, name, overrides)
    except BeyondBasics:
        return hydra_requests.set_params(data, name, overrides)
