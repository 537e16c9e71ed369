"""Projects with templates, one to a rule: those that DVC reads, and those that it refuses."""

from collections.abc import Mapping

from tests.conformance.harness import Case

Files = Mapping[str, str]

_PARAMS = """\
a: 1
b: true
f: false
n:
e: 1.0e-05
big: 1e16
s: text
sp ace: spaced
q: "it's a 'text'"
esc: '\\${a} ${a}'
l: [10, {x: y}, [3, 4]]
flags: [true, false, null]
names: [u, v]
d: {k: v, n: {m: 2, e: {}}, list: [1, two words, true, null], t: true, f: false, none: , empty: '', none_list: []}
models: {cnn: {lr: 0.1, layers: [1, 2]}, rnn: {lr: 0.2, layers: []}}
1: number key
o: out.txt
g: group
"""


def _with(stages: str, params: str = _PARAMS, **more: str) -> Files:
    return {"params.yaml": params, "dvc.yaml": f"stages:\n{stages}", **more}


def _cmd(text: str, **more: str) -> Files:
    return _with(f"  s:\n    cmd: {text}\n", **more)


_BOOLEAN = {
    ".dvc/config": '# mine\n[core]\n    no_scm = true\n[Parsing]\n    BOOL = "Boolean_Optional" # mine\n'
}
_APPEND = {
    ".dvc/config": "[core]\n    no_scm = true\n['remote \"x\"']\n    url = /tmp\n[parsing]\n    list = append\n    bool = boolean_optional\n"
}

READ: Mapping[str, Files] = {
    "whole text": _cmd("${s}"),
    "types within a text": _cmd("x ${a} ${b} ${f} ${n} ${e} ${big} ${s} ${q}"),
    "escape": _cmd(r"\${HOME} $HOME $${a} ${a}} \${a} \\${a} $(date)"),
    "escape alone": _cmd(r"echo \${HOME}"),
    "value with an expression": _cmd("x ${esc}"),
    "whole value with an expression": _cmd("${esc}"),
    "unterminated": _cmd("x ${a and ${b"[:9]),
    "over two lines": _cmd('"x ${\\n a}"'),
    "styles": _cmd(
        "x ${l[0]} ${l.0} ${l[-3]} ${l[1].x} ${l.2[1]} ${models[cnn][lr]} ${models.cnn.layers[ 1 ]}"
    ),
    "spaces": _cmd("x ${ a } ${sp ace} ${ models . cnn . lr } ${l[0] } ${l[2] [0]}"),
    "mapping in cmd": _cmd("run ${d} --end"),
    "mapping at the end": _cmd("run ${models.cnn}"),
    "mapping in cmd, no- options": _cmd("run ${d}", **_BOOLEAN),
    "mapping in cmd, append": _cmd("run ${d}", **_APPEND),
    "mapping in a list cmd": _cmd("['run ${d.n}', 'x ${a}']"),
    "settings of something else": _cmd(
        "run ${d}", **{".dvc/config": "[core]\n    no_scm = true\n[cache]\n    type = copy\n"}
    ),
    "everything resolved": _with(
        """\
  all:
    cmd: x
    wdir: w/${s}
    desc: about ${a}
    deps: ['${o}', 'd/${a}']
    params: ['${g}.k', {'${s}.yaml': ['${s}', 'x.${a}']}, '${g}.yaml': ]
    outs: ['${o}.1', {'${s}/${o}': {cache: false, desc: '${s}'}}, '${o}.1': {push: false}]
    metrics: ['m-${a}.json': {cache: false}]
    plots: ['p-${a}.csv': {x: '${s}', y: y}]
    meta: {wherry: {image: 'i:${a}', n: '${a}', '${s}': [1, '${b}']}}
""",
        **{"w/text/keep": ""},
    ),
    "number for a description": _with("  s: {cmd: x, desc: '${a}'}\n"),
    "null wdir": _with("  s: {cmd: x, wdir: '${n}'}\n"),
    "top-level sections": {
        "params.yaml": _PARAMS,
        "dvc.yaml": "params: ['${s}.yaml']\nmetrics: ['${s}.json']\nplots: ['${o}', {'${s}': {x: a}}]\n"
        "artifacts: {'m${a}': {path: '${o}', desc: '${s}'}}\nstages: {}\n",
    },
    "vars": {
        "params.yaml": _PARAMS,
        "dvc.yaml": "vars: [v.json, sub/v.toml, 'v.py:A,C', {inline: {x: 1}, d: {added: 5}}]\n"
        "stages: {s: {cmd: 'x ${j} ${t.u} ${A} ${C.k} ${inline.x} ${d.added} ${d.k}'}}\n",
        "v.json": '{"j": "\\u00fc", "d": {"more": 1}}',
        "sub/v.toml": "[t]\nu = 1.5\n",
        "v.py": "A = 1\nB = (1, 2)\nclass C:\n    k = 'v'\n",
    },
    "params.yaml named again": {
        "params.yaml": "a: 1\n",
        "dvc.yaml": "vars: [params.yaml, ./params.yaml]\nstages: {s: {cmd: 'x ${a}'}}\n",
    },
    "other keys of one file": {
        "v.yaml": "a: 1\nb: 2\n",
        "dvc.yaml": "vars: ['v.yaml:a', 'v.yaml:b']\nstages: {s: {cmd: 'x ${a}${b}'}}\n",
    },
    "empty values": {
        "v.yaml": "",
        "w.json": "[]",
        "dvc.yaml": "vars: [v.yaml, w.json, {}]\nstages: {s: {cmd: x}}\n",
    },
    "vars of a stage": _with(
        "  s:\n    cmd: x ${lv} ${i.j} ${a} ${d.extra}\n    wdir: w/${s}\n    vars: [lv.yaml, ../up.yaml, {i: {j: 1}, d: {extra: 2}}]\n"
        "  other: {cmd: x}\n",
        **{"w/text/lv.yaml": "lv: local\n", "w/up.yaml": "up: 1\n"},
    ),
    "folder below": {
        "params.yaml": "a: 1\nb: 4\n",
        "sub/params.yaml": "a: 2\n",
        "sub/dvc.yaml": "vars: ['../params.yaml:b', v.yaml]\nstages: {s: {foreach: [1], do: {cmd: 'x ${a} ${b} ${c}'}}}\n",
        "sub/v.yaml": "c: 3\n",
    },
    "foreach texts": _with(
        "  s:\n    foreach: [a, 1, 2.0, true, null, a/b, c.d, 'x y']\n    do: {cmd: 'x ${item}', deps: ['i-${item}']}\n"
    ),
    "foreach repeated": _with("  s:\n    foreach: [1, '1', 1.0, true]\n    do: {cmd: 'x ${item}'}\n"),
    "foreach mixed": _with("  s:\n    foreach: [{a: 1}, b, [5]]\n    do: {cmd: x}\n"),
    "foreach mapping": _with(
        "  s:\n    foreach: {u: 1, 2: {x: 3}, true: 4, null: 5}\n    do: {cmd: 'x ${key}'}\n"
    ),
    "foreach parts": _with(
        "  s:\n    foreach: '${models}'\n    do: {cmd: 'x ${item.lr} ${key} ${item}', outs: ['${key}']}\n"
    ),
    "foreach list of values": _with(
        "  s:\n    foreach: '${names}'\n    do: {cmd: 'x ${item}', outs: ['o-${item}']}\n"
    ),
    "foreach booleans of values": _with("  s:\n    foreach: ${flags}\n    do: {cmd: 'x ${item}'}\n"),
    "foreach values in a list": _with(
        "  s:\n    foreach: ['${b}', true, 'x${b}', '${n}']\n    do: {cmd: 'x ${item}'}\n"
    ),
    "foreach in values": _with(
        "  s:\n    foreach: [{a: '${d}', b: '${b}'}]\n    do: {cmd: 'x ${item.a.k} ${item.b} ${item.a}'}\n"
    ),
    "foreach of nothing": _with(
        "  s:\n    foreach: []\n    do: {cmd: 'x ${unknown} ${'}\n  t: {foreach: {}, do: {cmd: x}}\n"
    ),
    "foreach hides values": _with(
        "  s:\n    foreach: [1]\n    do: {cmd: 'x ${item} ${key}'}\n", params="item: 5\nkey: 6\n"
    ),
    "foreach with vars": _with(
        "  s:\n    foreach: [u, v]\n    do: {cmd: 'x ${k} ${key}', wdir: '${item}', vars: [k.yaml, {key: 1}]}\n",
        **{"u/k.yaml": "k: 1\n", "v/k.yaml": "k: 2\n"},
    ),
    "matrix in do": _with("  s:\n    foreach: [1]\n    do: {cmd: x, matrix: {a: [1, 2]}}\n"),
    "matrix": _with(
        "  s:\n    matrix: {a: [1, 2], b: [u, true, null, 1.5], c: [{x: 1}, [2]]}\n    cmd: x ${item.a} ${item.b} ${key}\n"
    ),
    "matrix of values": _with(
        "  s:\n    matrix: {a: '${models}', b: '${flags}', c: ['${b}', 'z${b}', true]}\n    cmd: x ${item.a} ${item.b} ${item.c}\n"
    ),
    "matrix of mappings": _with(
        "  s:\n    matrix: {a: ['${models.cnn}', '${models.rnn}']}\n    cmd: x ${item.a.lr} ${item.a}\n"
    ),
    "matrix of characters": _with("  s:\n    matrix: {a: 'xyz'}\n    cmd: x ${item.a}\n"),
    "matrix with the same names": _with(
        "  s:\n    matrix: {a: ['1-2', 1], b: ['3', '2-3']}\n    cmd: x ${item.a}/${item.b}\n"
    ),
    "matrix of nothing": _with("  s:\n    matrix: {a: [], b: [1]}\n    cmd: x ${unknown}\n"),
    "group with at": _with("  g@h:\n    foreach: [1]\n    do: {cmd: x}\n"),
    "names are not resolved": _with("  a${s}: {cmd: x}\n"),
    "cmd with an object key": _cmd("x ${1}", params="'1': 5\n"),
}

REFUSED: Mapping[str, Files] = {
    "unknown": _cmd("x ${nope}"),
    "unknown part": _cmd("x ${d.nope}"),
    "integer key": _cmd("x ${1}"),
    "index too large": _cmd("x ${l[3]}"),
    "index no number": _cmd("x ${l.x}"),
    "into a scalar": _cmd("x ${a.b}"),
    "quoted key": _cmd("""'x ${d["k"]}'"""),
    "empty": _cmd("x ${}"),
    "syntax": _cmd("x ${a..b}"),
    "open bracket": _cmd("x ${l[0}"),
    "text after bracket": _cmd("x ${l[0]x}"),
    "list in cmd": _cmd("x ${l}"),
    "whole list": _cmd("${l}"),
    "whole number": _cmd("${a}"),
    "whole mapping": _cmd("${d}"),
    "whole null": _cmd("${n}"),
    "number in a list cmd": _cmd("['${a}']"),
    "nested list as options": _cmd("x ${m}", params="m: {k: [[1]]}\n"),
    "same option twice": _cmd("x ${m}", params="m: {a.b: 1, a: {b: 2}}\n"),
    "number as a dep": _with("  s: {cmd: x, deps: ['${a}']}\n"),
    "null as an out": _with("  s: {cmd: x, outs: ['${n}']}\n"),
    "mapping as a dep": _with("  s: {cmd: x, deps: ['${d}']}\n"),
    "mapping in a dep": _with("  s: {cmd: x, deps: ['x${d}']}\n"),
    "list in meta": _with("  s: {cmd: x, meta: {a: '${l}'}}\n"),
    "number as wdir": _with("  s: {cmd: x, wdir: '${a}'}\n"),
    "frozen by template": _with("  s: {cmd: x, frozen: '${b}'}\n"),
    "cache by template": _with("  s: {cmd: x, outs: [{o: {cache: '${b}'}}]}\n"),
    "flag by template": _with("  s: {cmd: x, outs: [{o: {'${s}': true}}]}\n"),
    "unknown in desc": _with("  s: {cmd: x, desc: '${nope}'}\n"),
    "unknown in meta's key": _with("  s: {cmd: x, meta: {'${nope}': 1}}\n"),
    "unknown in top-level plots": {"dvc.yaml": "plots: ['${nope}']\n"},
    "unknown in an artifact": {"dvc.yaml": "artifacts: {m: {path: '${nope}'}}\n"},
    "artifact named by a number": {"params.yaml": "a: 1\n", "dvc.yaml": "artifacts: {'${a}': {path: x}}\n"},
    "no params.yaml": {"dvc.yaml": "stages: {s: {cmd: 'x ${a}'}}\n"},
    "params.yaml a list": {"params.yaml": "[1]\n", "dvc.yaml": "stages: {s: {cmd: x}}\n"},
    "params.yaml with a date": {"params.yaml": "a: {d: 2020-01-01}\n", "dvc.yaml": "stages: {s: {cmd: x}}\n"},
    "params.yaml broken": {"params.yaml": "a: [\n", "dvc.yaml": "stages: {s: {cmd: x}}\n"},
    "params.yaml with a date, no stages": {
        "params.yaml": "d: 2020-01-01\n",
        "dvc.yaml": "metrics: [m.json]\n",
    },
    "tuple": {"v.py": "T = (1, 2)\n", "dvc.yaml": "vars: [v.py]\nstages: {s: {cmd: x}}\n"},
    "expression in vars": {
        "params.yaml": "a: 1\n",
        "dvc.yaml": "vars: [{b: '${a}'}]\nstages: {s: {cmd: x}}\n",
    },
    "expression in a stage's vars": _with("  s: {cmd: x, vars: ['${s}.yaml']}\n"),
    "vars missing": {"dvc.yaml": "vars: [nope.yaml]\nstages: {s: {cmd: x}}\n"},
    "vars a folder": {"v/x": "", "dvc.yaml": "vars: [v]\nstages: {s: {cmd: x}}\n"},
    "vars a list": {"v.yaml": "[1]", "dvc.yaml": "vars: [v.yaml]\nstages: {s: {cmd: x}}\n"},
    "vars key missing": {"v.yaml": "a: 1", "dvc.yaml": "vars: ['v.yaml:b']\nstages: {s: {cmd: x}}\n"},
    "vars key with a dot": {
        "v.yaml": "a: {b: 1}",
        "dvc.yaml": "vars: ['v.yaml:a.b']\nstages: {s: {cmd: x}}\n",
    },
    "vars twice the same": {"params.yaml": "a: 1\n", "dvc.yaml": "vars: [{a: 1}]\nstages: {s: {cmd: x}}\n"},
    "vars twice deep": {
        "params.yaml": "d: {a: 1}\n",
        "dvc.yaml": "vars: [{d: {b: 2}}, {d: {a: {}}}]\nstages: {s: {cmd: x}}\n",
    },
    "vars list twice": {"params.yaml": "l: []\n", "dvc.yaml": "vars: [{l: []}]\nstages: {s: {cmd: x}}\n"},
    "params.yaml in part": {
        "params.yaml": "a: 1\n",
        "dvc.yaml": "vars: ['params.yaml:a']\nstages: {s: {cmd: x}}\n",
    },
    "whole after part": {
        "v.yaml": "a: 1\nb: 2",
        "dvc.yaml": "vars: ['v.yaml:a', v.yaml]\nstages: {s: {cmd: x}}\n",
    },
    "keys overlap": {
        "v.yaml": "a: 1\nb: 2",
        "dvc.yaml": "vars: ['v.yaml:a', 'v.yaml:b,a']\nstages: {s: {cmd: x}}\n",
    },
    "vars of a stage redefine": _with("  s: {cmd: x, vars: [{a: 1}]}\n"),
    "vars of a stage beside dvc.yaml": _with(
        "  s: {cmd: x, wdir: w, vars: [v.yaml]}\n", **{"v.yaml": "z: 1\n", "w/x": ""}
    ),
    "wdir by the stage's vars": _with("  s: {cmd: x, wdir: '${z}', vars: [{z: w}]}\n", **{"w/x": ""}),
    "item in vars": _with("  s:\n    foreach: [1]\n    do: {cmd: x, vars: [{item: 2}]}\n"),
    "key of a list": _with("  s:\n    foreach: [1]\n    do: {cmd: 'x ${key}'}\n"),
    "foreach over text": _with("  s:\n    foreach: text\n    do: {cmd: x}\n"),
    "foreach over a scalar": _with("  s:\n    foreach: ${s}\n    do: {cmd: x}\n"),
    "foreach over the unknown": _with("  s:\n    foreach: ${nope}\n    do: {cmd: x}\n"),
    "foreach with desc": _with("  s:\n    foreach: [1]\n    desc: d\n    do: {cmd: x}\n"),
    "foreach alone": _with("  s:\n    foreach: [1]\n"),
    "do alone": _with("  s:\n    do: {cmd: x}\n"),
    "do without cmd": _with("  s:\n    foreach: []\n    do: {deps: [i]}\n"),
    "foreach with matrix": _with("  s:\n    foreach: [1]\n    matrix: {a: [1]}\n    do: {cmd: x}\n"),
    "foreach key with at": _with("  s:\n    foreach: ['a@b']\n    do: {cmd: x}\n"),
    "foreach key empty": _with("  s:\n    foreach: ['']\n    do: {cmd: x}\n"),
    "foreach with a date": _with("  s:\n    foreach: [2020-01-01]\n    do: {cmd: x}\n"),
    "foreach key by template": _with("  s:\n    foreach: {'${s}': 1}\n    do: {cmd: x}\n"),
    "foreach syntax": _with("  s:\n    foreach: [1]\n    do: {cmd: 'x ${}'}\n"),
    "foreach part of a scalar": _with("  s:\n    foreach: [1]\n    do: {cmd: 'x ${item.a}'}\n"),
    "one output for all": _with("  s:\n    foreach: [1, 2]\n    do: {cmd: x, outs: [o]}\n"),
    "matrix empty": _with("  s:\n    matrix: {}\n    cmd: x\n"),
    "matrix as a template": _with("  s:\n    matrix: ${models}\n    cmd: x\n"),
    "matrix over a scalar": _with("  s:\n    matrix: {a: '${a}'}\n    cmd: x\n"),
    "matrix over a text": _with("  s:\n    matrix: {a: '${s}'}\n    cmd: x\n"),
    "matrix with a mapping": _with("  s:\n    matrix: {a: {b: 1}}\n    cmd: x\n"),
    "matrix name alone": _with("  s:\n    matrix: {axis: [1]}\n    cmd: x ${axis}\n"),
    "matrix without cmd": _with("  s:\n    matrix: {a: [1]}\n"),
    "stage beside its group": _with(
        "  s@1: {cmd: x, outs: [o]}\n  s:\n    foreach: [1]\n    do: {cmd: x, outs: [p]}\n"
    ),
    "section not closed": _cmd("x", **{".dvc/config": "[core\n    no_scm = true\n"}),
    "parsing unknown": _cmd(
        "x", **{".dvc/config": "[core]\n    no_scm = true\n[parsing]\n    bool = maybe\n"}
    ),
}


GENERATED = Case(
    name="templates",
    files={
        "params.yaml": "lr: 0.001\nmodels: {cnn: {lr: 0.1, deep: [1, two words]}, rnn: {lr: 1e-5}}\nsplit: {a: x.txt, b: y.txt}\n",
        "in.txt": "1\n",
        "sub/params.yaml": "names: [u, 1, true]\n",
        "sub/vars.json": '{"in": "../in.txt"}',
        "dvc.yaml": """\
stages:
  split:
    foreach: ${split}
    do: {cmd: 'cp in.txt ${item}', deps: [in.txt], outs: ['${item}'], params: [lr]}
  train:
    matrix: {model: [cnn, rnn], data: ['${split}', 7]}
    cmd: echo ${item.model} ${models.cnn} \\$HOME \\${HOME} > m-${item.model}-${key}
    deps: ['${split.a}', '${split.b}']
    params: ['models.${item.model}']
    outs: ['m-${item.model}-${key}']
  plain: {cmd: 'echo ${lr} > plain', outs: [plain], params: [lr]}
""",
        "sub/dvc.yaml": """\
vars: [vars.json]
stages:
  s:
    foreach: ${names}
    do: {cmd: 'cp ${in} o-${item}', deps: ['${in}'], outs: ['o-${item}']}
""",
    },
)
