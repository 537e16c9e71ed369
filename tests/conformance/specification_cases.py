"""The conformance cases of the specification of DVC's behaviour, by their numbers: each a project of its own.

What else proves a case, and the cases that are no projects, are in test_specification.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance.cases import EVERY_PARAMETER, FOREIGN_ENTRIES, random_graph
from tests.conformance.drawn_projects import DrawnProject, FileChange


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecificationCase:
    """A project, how far DVC comes with it, and what the case claims of its files afterwards."""

    project: DrawnProject
    how_far: str = "ran"
    holds: Mapping[str, str] | None = None
    """By file, a regular expression."""


def _case(
    files: Mapping[str, str],
    *changes: FileChange,
    how_far: str = "ran",
    added: tuple[str, ...] = (),
    holds: Mapping[str, str] | None = None,
) -> SpecificationCase:
    project = DrawnProject(files=files, added=added, changes=changes, targets=())
    return SpecificationCase(project=project, how_far=how_far, holds=holds)


def _stages(text: str, **files: str) -> dict[str, str]:
    return {"i": "1\n", **files, "dvc.yaml": f"stages:\n{text}"}


def _write(path: str, text: str) -> FileChange:
    return FileChange("write", path, text)


_DELETE_LOCK = FileChange("delete", "dvc.lock")
_COPY = "  s: {cmd: cp i o, deps: [i], outs: [o]}\n"
_LOGGED = "  s: {cmd: 'echo x >> log; cp i o', deps: [i], outs: [o]}\n"
_WORDS = " ".join(f"--option-{number} value-{number}" for number in range(9))
_SCALARS = """{"a": ["yes", "no", "on", "off", "y", "n", "null", "~", "1", "1e3", "010", "0o7", "0x1F", "1_000", "+1", ".5", "1.",
 "12:30", "2020-01-01", "=", "<<", " lead", "trail ", "a: b", "a:", "a #b", "#x", "- a", "? a", "-", "---", "...", "it's",
 "a\\tb", "a\\nb", "", "@x", "%x", "`x", "[", "{", "&x", "*x", "!x", "|", ">", "\\u0085", "\\ufeff", "true", "TRUE", ".inf"]}"""

PROJECTS: Mapping[int, SpecificationCase] = {
    1: _case(_stages(_COPY), holds={"dvc.lock": r"md5: b026324c6904b2a9cb4b88d6d61c81d1"}),
    2: _case(
        _stages(_COPY),
        holds={
            ".dvc/cache/runs/e1/e177e5a1eebb80bfaa263409fff6476367e8d334a21edf764c72548390353270/"
            "33abbb051ee1712358476032aad6c99c0719560893cff7056b37cd3624b04061": r"\Acmd: cp i o\n"
        },
    ),
    3: _case(
        _stages(
            "  pr: {cmd: [cp i p1, chmod +x p1], deps: [i], params: [opt, lr, size], outs: [p1]}\n",
            **{"params.yaml": 'lr: 0.001\nopt: {name: "ünï", sz: [1, 2.0, true, null]}\nsize: 7\n'},
        ),
        holds={
            ".dvc/cache/runs/d4/d43e451feac03f211ee476d6872245e0694e41a35bcf05db9e6a4f1f0cb40fb3/"
            "856be96e3a0e1184126078f508046049d450a24a3436bb504eb0ac5d91f2c5ba": "isexec: true"
        },
    ),
    4: _case(
        _stages("  s: {cmd: cp params.yaml o, params: [size], outs: [o]}\n", **{"params.yaml": "size: 1\n"}),
        _write("params.yaml", "size: 2\n"),
        holds={"o": "size: 1", "dvc.lock": "size: 2"},
    ),
    5: _case(
        _stages(
            "  a: {wdir: w1, cmd: 'echo x >> ../log; cp i o', deps: [i], outs: [o]}\n"
            "  b: {wdir: w2, cmd: 'echo x >> ../log; cp i o', deps: [i], outs: [o]}\n",
            **{"w1/i": "1\n", "w2/i": "1\n"},
        ),
        holds={"log": r"\Ax\n\Z"},
    ),
    6: _case(
        _stages("  s: {cmd: 'echo x >> log; date +%N > o', deps: [i], outs: [o]}\n"),
        _DELETE_LOCK,
        FileChange("delete", "o"),
        holds={"log": r"\Ax\n\Z"},
    ),
    7: _case(
        _stages("  s: {cmd: 'echo x >> log; cp i o', deps: [i], outs: [o: {cache: false}]}\n"),
        _DELETE_LOCK,
        holds={"log": r"\Ax\nx\n\Z"},
    ),
    8: _case(
        _stages("  s: {cmd: 'echo x >> log; cp i m.json', deps: [i], metrics: [m.json: {cache: false}]}\n"),
        FileChange("delete", "m.json"),
        _DELETE_LOCK,
        holds={"log": r"\Ax\n\Z", "m.json": "1"},
    ),
    9: _case(
        _stages(
            "  s: {cmd: 'echo x >> log; echo 1 > o', params: [a], outs: [o]}\n", **{"params.yaml": "a: 1\n"}
        ),
        _DELETE_LOCK,
        holds={"log": r"\Ax\n\Z"},
    ),
    11: _case(
        _stages(
            "  s: {cmd: sh make.sh, deps: [make.sh], outs: [d]}\n  t: {cmd: cat d/b/c > o, deps: [d, d/b], outs: [o]}\n",
            **{
                "make.sh": "mkdir -p d/b-c d/b d/void\necho 1 > d/b-c/q\necho 2 > d/b.txt\necho 3 > d/b/c\n"
                "echo 4 > \"d/ü 'q'\"\nln -s b/c d/link\nln -s b d/linked\n"
            },
        ),
        holds={"dvc.lock": "nfiles: 5"},
    ),
    12: _case(
        _stages("  s: {cmd: mkdir e, outs: [e]}\n"),
        holds={"dvc.lock": r"d751713988987e9331980363e24189ce\.dir\n      size: 0\n      nfiles: 0"},
    ),
    13: _case(
        _stages("  s: {cmd: cp i o, deps: [i, d], outs: [o]}\n", **{"d/.dvcignore": "x\n", "d/f": "1\n"}),
        how_far="failed",
    ),
    14: _case(
        _stages("  s: {cmd: 'mkdir -p d/.dvc && echo 1 > d/.dvc/x && echo 1 > d/f', outs: [d]}\n"),
        holds={"dvc.lock": "d751713988987e9331980363e24189ce.dir"},
    ),
    15: _case(
        _stages("  s: {cmd: 'cp i o && chmod +x o', deps: [i], outs: [o]}\n"),
        FileChange("executable", "i"),
        holds={
            "dvc.lock": r"outs:\n    - path: o\n      hash: md5\n      md5: \w+\n      size: 2\n      isexec: true"
        },
    ),
    17: _case(_stages('  s: {cmd: "X=1\\necho $X > o", outs: [o]}\n'), holds={"o": r"\A\n\Z"}),
    18: _case(
        _stages('  s: {cmd: ["cd a\\necho 1 > o"], outs: [a/o]}\n', **{"a/keep": ""}), holds={"a/o": "1"}
    ),
    19: _case(
        _stages("  s: {cmd: ['echo 1 >> log', exit 3, 'echo 2 >> log'], deps: [i], outs: [o]}\n"),
        how_far="failed",
        holds={"log": r"\A(1\n)+\Z"},
    ),
    21: _case(_stages("  s: {cmd: cp gone o, deps: [gone], outs: [o]}\n", o="old\n"), how_far="failed"),
    22: _case(_stages("  s: {cmd: cp i o, deps: [i], params: [lr, b.c], outs: [o]}\n"), how_far="failed"),
    23: _case(
        _stages("  s: {cmd: cp i o, deps: [i, j], outs: [o]}\n", j="1\n"),
        _write("dvc.yaml", f"stages:\n{_COPY}"),
        holds={"dvc.lock": "path: j"},
    ),
    24: _case(
        _stages(_LOGGED),
        _write("dvc.yaml", "stages:\n  s: {cmd: ['echo x >> log; cp i o'], deps: [i], outs: [o]}\n"),
        holds={"log": r"\Ax\nx\n\Z"},
    ),
    25: _case(
        _stages(
            "  s: {cmd: 'echo x >> log; cp i o', deps: [i], params: [a, b], outs: [o]}\n",
            **{"params.yaml": "a: 1\nb: true\n"},
        ),
        _write("params.yaml", "a: true\nb: 1.0\n"),
        holds={"log": r"\Ax\n\Z", "dvc.lock": "a: 1\n"},
    ),
    26: _case(
        _stages(
            "  s: {cmd: cp i o, deps: [i], params: [p.json: [a]], outs: [o]}\n", **{"p.json": '{"a": NaN}'}
        ),
        holds={"dvc.lock": r"a: \.nan"},
    ),
    27: _case(_stages(_COPY, **{"params.yaml": "d: 2020-01-01\n"}), how_far="refused"),
    28: _case(
        _stages(
            "  s: {cmd: cp i o, deps: [i], params: [p.yaml: [d]], outs: [o]}\n",
            **{"p.yaml": "d: 2020-01-01\n"},
        ),
        how_far="failed",
    ),
    29: _case(
        _stages(
            "  s: {cmd: ['${b}', 'echo ${b} ${n} ${e} > o'], outs: [o]}\n",
            **{"params.yaml": "b: 'true'\nn:\ne: 1e-5\n"},
        ),
        holds={"o": r"\Atrue None 1e-05\n\Z"},
    ),
    30: _case(
        _stages("  s: {cmd: 'echo \"\\${HOME}\" > o', outs: [o]}\n"), holds={"dvc.lock": r'echo "\$\{HOME\}"'}
    ),
    31: _case(
        _stages(
            "  s: {cmd: 'echo ${d} > o', outs: [o]}\n",
            **{"params.yaml": "d: {t: true, f: false, s: a b, l: [1, x y, true], n: {m: }, z: {}}\n"},
        ),
        holds={"o": r"\A--t --s a b --l 1 x y True --n.m None\n\Z"},
    ),
    32: _case(
        {"params.yaml": "a: 1\n", "dvc.yaml": "vars: [{a: 1}]\nstages: {s: {cmd: 'true'}}\n"},
        how_far="refused",
    ),
    33: _case(
        _stages(
            "  s: {wdir: w, vars: [v.yaml], cmd: 'echo ${own} > o', outs: [o]}\n", **{"w/v.yaml": "own: 5\n"}
        ),
        holds={"w/o": "5"},
    ),
    34: _case(
        _stages(
            "  s: {foreach: [a, 1, 2.0, true, null], do: {cmd: 'echo 1 > o-${item}', outs: ['o-${item}']}}\n"
            "  t: {foreach: [{k: 1}, b], do: {cmd: 'true'}}\n"
        ),
        holds={"dvc.lock": r"s@a:.*s@1:.*s@2.0:.*s@true:.*s@None:.*t@0:.*t@1:"},
    ),
    35: _case(
        _stages("  s: {foreach: [1, '1', 1.0], do: {cmd: 'echo 1 > o-${item}', outs: ['o-${item}']}}\n"),
        holds={"dvc.lock": r"\A[^@]*s@1:[^@]*s@1\.0:[^@]*\Z"},
    ),
    36: _case(
        _stages(
            "  s:\n    matrix: {a: [1, 2], b: [u, true, null], c: [{k: 1}]}\n"
            "    cmd: echo ${item.c.k} ${key} > o-${key}\n    outs: ['o-${key}']\n"
        ),
        holds={
            "dvc.lock": r"s@1-u-c0:.*s@1-true-c0:.*s@1-None-c0:.*s@2-u-c0:",
            "o-2-u-c0": r"\A1 2-u-c0\n\Z",
        },
    ),
    37: _case(
        _stages(
            "  s: {cmd: cp i o, deps: [./i, d/, d//x, sub/../d/x], params: [./pp.yaml: [a]], outs: [./o]}\n",
            **{"d/x": "1\n", "sub/keep": "", "pp.yaml": "a: 1\n"},
        ),
        holds={"dvc.lock": r"path: \./i\n.*path: d/\n.*path: d//x\n.*path: sub/\.\./d/x\n.*pp\.yaml:"},
    ),
    38: _case(
        _stages("  s: {cmd: cp i o, deps: [i], params: [p.json: [a]], outs: [o]}\n", **{"p.json": _SCALARS})
    ),
    39: _case(
        _stages(
            f"  s: {{cmd: 'true {_WORDS}', deps: [i]}}\n  t: {{cmd: \"true '{_WORDS}'\", deps: [i]}}\n"
            f"  u: {{cmd: ['true \"{_WORDS}\" # a', cp i o], deps: [i], outs: [o]}}\n"
        )
    ),
    40: _case(
        _stages(
            "  s: {cmd: cp i o, deps: [i], params: [nested, nested.b], outs: [o]}\n",
            **{"params.yaml": "nested: {b: {c: [1]}}\n"},
        ),
        holds={"dvc.lock": r"&id001.*\*id001"},
    ),
    41: _case(random_graph(7, 14).files),
    43: _case(
        _stages(
            "  dep: {cmd: cp i o, deps: [i], outs: [o]}\n  param: {cmd: cp i p, deps: [i], params: [a], outs: [p]}\n"
            "  out: {cmd: cp o q, deps: [o], outs: [q]}\n  callback: {cmd: 'true'}\n",
            **{"params.yaml": "a: 1\n"},
        ),
        _write("i", "2\n"),
        _write("params.yaml", "a: 2\n"),
        _write("q", "other\n"),
        _write(
            "dvc.yaml",
            "stages:\n  dep: {cmd: cp  i o, deps: [i], outs: [o]}\n"
            "  param: {cmd: cp i p, deps: [i], params: [a], outs: [p], frozen: true}\n"
            "  out: {cmd: cp o q, deps: [o], outs: [q]}\n  callback: {cmd: 'true'}\n",
        ),
    ),
    44: _case(
        _stages(_COPY),
        _write("i", "2\n"),
        added=("i",),
        holds={"o": "2", "i.dvc": "26ab0db90d72e28ad0ba1e22ee510510"},
    ),
    45: _case({**FOREIGN_ENTRIES.files}, holds={"dvc.lock": r"# made by hand.*gone: # stays"}),
    50: _case(
        {"dvc.yaml": "", "sub/dvc.yaml": "stages: {s: {cmd: echo 1 > o, outs: [o]}}\n"}, holds={"sub/o": "1"}
    ),
}

GRAPH_ERRORS: Mapping[str, SpecificationCase] = {
    "two stages": _case(_stages("  a: {cmd: x, outs: [o]}\n  b: {cmd: x, outs: [o]}\n"), how_far="refused"),
    "overlap": _case(_stages("  a: {cmd: x, outs: [d]}\n  b: {cmd: x, outs: [d/o]}\n"), how_far="refused"),
    "cycle": _case(
        _stages("  a: {cmd: x, deps: [o], outs: [p]}\n  b: {cmd: x, deps: [p], outs: [o]}\n"),
        how_far="refused",
    ),
    "own folder": _case(_stages("  a: {cmd: x, deps: [d], outs: [d/o]}\n"), how_far="refused"),
    "stage in an output": _case({"d/dvc.yaml": "stages: {a: {cmd: x, outs: [../d]}}\n"}, how_far="refused"),
}
"""Case 42."""

EVERY_KIND = _case(EVERY_PARAMETER.files)
"""Parameters of every kind, beyond the numbered cases."""
