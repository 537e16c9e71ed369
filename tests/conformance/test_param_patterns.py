"""Patterns in the names of parameters find what DVC's own look-up finds, and stop where it stops."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conformance.harness import dvc_python
from wherry.service.domain.dvc.params import ParamsParser, read_params
from wherry.service.domain.dvc.pipeline_file import parse_pipeline_file
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath

# "several" is a question that DVC refuses, "missing" one that has no answer.
_ASK = """
import json, os, sys
from dvc.dependency.param import read_param_file
from dvc.fs import LocalFileSystem
question = json.load(sys.stdin)
with open("params.yaml", "w", encoding="utf-8") as file:
    file.write(question["text"])
answers = []
for key in question["keys"]:
    try:
        read = read_param_file(LocalFileSystem(), os.path.abspath("params.yaml"), [key], flatten=True)
        answers.append(["found", read[key]] if key in read else ["missing", None])
    except Exception:
        answers.append(["several", None])
print(json.dumps(answers))
"""

_TEXT = """\
lr: 0.1
batch: 32
train: {lr: 0.2, opt: {name: adam, betas: [0.9, 0.99]}, layers: [{size: 10}, {size: 20, act: relu}]}
only: {one: {value: 1}}
numbers: {1: one, 22: two, false: no-key, 1.5: half}
'a*b': star
'[x]': brackets
deep: {a: {b: {c: {target: 1}}}}
list: [[1], [2, 3]]
empty: {m: {}, l: [], t: ''}
nothing: null
Case: 1
"""
_PARTS = ("*", "**", "?", "l?", "[bl]*", "train", "-1", "[0-9]", "size")
_SINGLE = [
    *("numbers.?", "numbers.2*", "numbers.F*", "numbers.1.5", "numbers.1*", "numbers.[1]", "numbers.-1?"),
    *("a*b", "a[*]b", "[[]x]", "[x]", "[x", "x]", "**.target", "**.c.**", "deep.**.target", "deep.**.b.c"),
    *(
        "only.**",
        "lr.**",
        "**.lr",
        "train.**.act",
        "**",
        "***",
        "*.**.*",
        ".l?",
        "..l?",
        "l?.",
        "*.",
        "Cas?",
        "cas?",
    ),
    *("train.layers.*.act", "train.layers.-?.act", "train.layers.[1].act", "train.layers.-1.a*", "list.1.?"),
    *(
        "empty.t*",
        "empty.[m]",
        "empty.l.*",
        "noth*",
        "lr.*",
        "batch?",
        "train.opt.betas.-2*",
        "list.*.1",
        "list.-1.-?",
    ),
]
KEYS = list(
    dict.fromkeys([*_SINGLE, *(".".join(p) for n in (1, 2, 3) for p in itertools.product(_PARTS, repeat=n))])
)


def test_each_pattern_means_what_it_means_to_dvc(tmp_path: Path) -> None:
    asked = json.dumps({"text": _TEXT, "keys": KEYS})
    expected = json.loads(dvc_python(tmp_path, _ASK, asked).splitlines()[-1])
    parser = ParamsParser()
    found = [_look_up(key, parser) for key in KEYS]
    differing = [
        (key, ours, theirs) for key, ours, theirs in zip(KEYS, found, expected, strict=True) if ours != theirs
    ]
    assert not differing
    assert {kind for kind, _ in found} == {"found", "missing", "several"}


def _look_up(key: str, parser: ParamsParser) -> Sequence[Any]:
    text = f"stages:\n  s: {{cmd: x, params: [{json.dumps(key)}]}}\n"
    stage = parse_pipeline_file(text.encode(), ProjectPath("dvc.yaml"))[0]
    try:
        read = read_params(stage, {ProjectPath("params.yaml"): _TEXT.encode()}, parser)
    except PipelineInvalid as exc:
        return ["missing" if "missing" in exc.message else "several", None]
    return ["found", read["params.yaml"][key]]
