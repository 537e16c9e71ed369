"""`-S` leaves a parameters file as DVC would, or is refused where DVC refuses it."""

import json
from collections.abc import Mapping

import pytest

from tests.conformance.harness import dvc_python
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
    # DVC takes sweeps for queued experiments only.
    *("lr=1,2", "lr=choice(1,2)", "lr=range(1,3)"),
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
]
CASES = [
    *(("p.yaml", _YAML, [f"s={value}"]) for value in _TYPED),
    *(("p.yaml", _YAML, [edit]) for edit in _EDITS),
    *_FILES,
]


@pytest.fixture(scope="module")
def dvc_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, str | None]:
    """By case: the file as DVC leaves it, or None where it refuses."""
    answers = dvc_python(tmp_path_factory.mktemp("cases"), _APPLY, json.dumps(CASES))
    return dict(enumerate(json.loads(answers.splitlines()[-1])))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: " ".join(CASES[number][2]))
def test_file_becomes_what_dvc_makes_of_it(number: int, dvc_files: Mapping[int, str | None]) -> None:
    name, text, overrides = CASES[number]
    expected = dvc_files[number]
    if expected is None or overrides in (["lr=1,2"], ["lr=choice(1,2)"], ["lr=range(1,3)"], ["s=a,b"]):
        with pytest.raises(InvalidInput):
            apply_overrides(text.encode(), name, overrides)
    else:
        assert apply_overrides(text.encode(), name, overrides).decode() == expected


def test_what_hydra_would_resolve_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"\$\{"):
        apply_overrides(b"a: ${b}\nb: 1\n", "p.yaml", ["b=2"])
    with pytest.raises(InvalidInput, match=r"\$\{"):
        apply_overrides(b"a: 1\n", "p.yaml", ["a=${b}"])
    with pytest.raises(InvalidInput, match="int"):
        apply_overrides(b"a: 1\n", "p.yaml", ["a=int(3.7)"])
