"""Sweeps are the runs that DVC would queue, and composed parameters have DVC's bytes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.conformance.harness import dvc_python
from wherry.service.adapters import hydra_requests
from wherry.service.domain.dvc.set_param import split_override
from wherry.service.domain.errors import InvalidInput

_ASK = """
import json, os, random, sys, tempfile
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import compose_and_dump, get_hydra_sweeps
asked = json.load(sys.stdin)
sweeps = []
for changes in asked["sweeps"]:
    try:
        sweeps.append(get_hydra_sweeps(to_path_overrides(changes)))
    except Exception:
        sweeps.append(None)
composed = []
for files, name, overrides in asked["compositions"]:
    root = os.path.realpath(tempfile.mkdtemp(dir="."))
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, "conf", path)), exist_ok=True)
        with open(os.path.join(root, "conf", path), "w", encoding="utf-8") as file:
            file.write(text)
    output = os.path.join(root, "params.yaml")
    try:
        compose_and_dump(output, os.path.join(root, "conf"), None, name, root, overrides)
        with open(output, encoding="utf-8") as file:
            composed.append(file.read())
    except Exception:
        composed.append(None)
print("\\n" + json.dumps([sweeps, composed]))
"""

SWEEPS: list[list[str]] = [
    ["a=1,2"],
    ["a=1,2", "b=x,y,z"],
    ["b=x,y", "a=1,2", "c=5"],
    ["p.toml:k=1,2", "a=1,2", "p.toml:m=3,4"],
    ["a=1.50,2.0,1e-5,inf"],
    ["a=true,False,null,text,'quoted','a,b'"],
    ['a="x y",z'],
    ["a=[1,2],[3,4]", "b={x:1},{y:2}"],
    ["a=choice(1,2,x)", "+b=choice(true,'q')", "++c.d=1,2"],
    ["a=range(3)", "b=range(1,4)", "c=range(0,1,0.5)"],
    ["a=range(5,1,-2)", "b=range(start=1,stop=3)"],
    ["a=sort(3,1,2)", "b=sort(choice(c,a,b),reverse=true)", "c=sort(range(0,3),reverse=true)"],
    ["a=int(1.5,2.5)", "b=str(1,2)", "c=float(choice(1,2))", "d=str(range(0,2))"],
    ["a=tag(t,choice(1,2))", "b=x\\,y,z"],
    ["a=1,2", "a=3,4"],
    ["a=1,2", "a=5"],
    ["db=pg,mysql", "+db@x=a,b", "k/l=m,n"],
    ["a=${b},2", "c=a b,d"],
    ["a=glob(*),2"],
    ["a=1,", "b=2"],
    ["a=choice()"],
    ["a=interval(0,1)"],
    ["a=1,2", "b"],
]

_DB: Mapping[str, str] = {
    "config.yaml": "defaults:\n- db: mysql\n- _self_\n# lost\nlr: 0.1\nname: x-${db.port}\nnested: {b: 1, a: [1, 2]}\n",
    "db/mysql.yaml": "port: 3306\nhost: ${lr}\n",
    "db/pg.yaml": "# @package _global_\ndb: {port: 5432}\npg: true\n",
    "db/deep/other.yaml": "port: 1\n",
    "extra.yaml": "z: 1\ny: 'no'\n",
}
COMPOSITIONS: list[tuple[Mapping[str, str], str, Sequence[str]]] = [
    (_DB, "config", []),
    (_DB, "config.yaml", ["lr=5"]),
    (_DB, "config", ["db=pg", "+x.y=1", "++lr=2"]),
    (_DB, "config", ["db=deep/other"]),
    (_DB, "config", ["~db"]),
    (_DB, "config", ["~name", "nested.a=[5,x]"]),
    (_DB, "config", ["+db@second=pg"]),
    (_DB, "config", ["+extra@here=extra"]),
    (_DB, "config", ["db=nope"]),
    (_DB, "config", ["nope=1"]),
    (_DB, "config", ["lr=1,2"]),
    (_DB, "config", ["name='${lr}'", "lr='1'"]),
    (_DB, "config", ["lr=???"]),
    (_DB, "config", ["lr=null", "+hydra.job.name=x", "hydra.verbose=true"]),
    (_DB, "extra", []),
    (_DB, "extra", ["+db=pg"]),
    (_DB, "db/mysql", []),
    (_DB, "nowhere", []),
    ({"config.yaml": "a: ???\nb: ${a}\n"}, "config", []),
    ({"config.yaml": "a: ???\n"}, "config", []),
    ({"config.yaml": "a: ${nope}\n"}, "config", []),
    ({"config.yaml": "a: é\nb: 'yes'\nc: on\nd: 1e3\ne: 010\nf: |\n  x\n  y\ng: ~\nh: .5\ni: 0x1F\n"}, "config", []),
    ({"config.yaml": "a: 2020-01-01\n"}, "config", []),
    ({"config.yaml": ""}, "config", []),
    ({"config.yaml": "- 1\n"}, "config", []),
    ({"config.yaml": "defaults: [a, b, _self_]\nk: top\n", "a.yaml": "k: a\nl: 1\n", "b.yaml": "k: b\nl: {x: 1}\n"}, "config", []),
    ({"config.yaml": "defaults: [_self_, optional g: missing]\nk: 1\n"}, "config", []),
    ({"config.yaml": "defaults: [g: [x, y]]\n", "g/x.yaml": "p: 1\n", "g/y.yaml": "q: 2\n"}, "config", []),
    ({"config.yaml": "defaults: [sub/inner]\n", "sub/inner.yaml": "defaults: [/top, other]\n", "top.yaml": "t: 1\n", "sub/other.yaml": "o: 1\n"}, "config", []),
    ({"config.yaml": "a: ${oc.create:'{b: 1}'}\nc: ${oc.dict.keys:d}\nd: {e: 1}\nf: ${oc.select:zz,9}\n"}, "config", []),
    ({"config.yml": "a: 1\n"}, "config", []),
    ({"sub/config.yaml": "a: 1\n"}, "sub/config", []),
    ({"config.yaml": "defaults: [db: a, override hydra/job_logging: none]\nx: 1\n", "db/a.yaml": "q: 1\n"}, "config", []),
]  # fmt: skip


@pytest.fixture(scope="module")
def dvc_answers(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    hydra_requests.prepare()
    asked = json.dumps({"sweeps": SWEEPS, "compositions": COMPOSITIONS})
    answers = dvc_python(tmp_path_factory.mktemp("cases"), _ASK, asked)
    read: list[Any] = json.loads(answers.splitlines()[-1])
    return read


@pytest.mark.parametrize("number", range(len(SWEEPS)), ids=lambda number: " ".join(SWEEPS[number]))
def test_a_sweep_is_expanded_into_the_runs_that_dvc_queues(number: int, dvc_answers: list[Any]) -> None:
    expected = dvc_answers[0][number]
    if expected is None:
        with pytest.raises(InvalidInput):
            hydra_requests.expand(SWEEPS[number])
    else:
        assert [_by_file(texts) for texts in hydra_requests.expand(SWEEPS[number])] == expected


def _by_file(texts: Sequence[str]) -> dict[str, list[str]]:
    by_file: dict[str, list[str]] = {}
    for text in texts:
        file, override = split_override(text)
        by_file.setdefault(file, []).append(override)
    return by_file


@pytest.mark.parametrize("number", range(len(COMPOSITIONS)))
def test_parameters_are_composed_to_the_byte(number: int, dvc_answers: list[Any]) -> None:
    expected = dvc_answers[1][number]
    files, name, overrides = COMPOSITIONS[number]
    if expected is None:
        with pytest.raises(InvalidInput):
            hydra_requests.compose(files, name, overrides)
    else:
        assert hydra_requests.compose(files, name, overrides).decode() == expected
