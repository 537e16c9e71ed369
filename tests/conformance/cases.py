"""Projects that hold what dvc.lock and the run cache can hold."""

import random

from tests.conformance.harness import Case

_PARAMS_YAML = """\
# a comment
lr: 0.001
epochs: 1_000
tiny: 1e-5
huge: 1e+16
size: 7
nothing:
empty: ''
nested: {b: {deep: [1, 2.0, true, null]}, name: ünï}
list: [10, {x: y}, [3]]
texts: ['yes', 'no', 'null', '1', '1e3', '010', '12:30', '2020-01-01', '=', ' lead', 'a: b', "it's", "a\\tb", '#x']
more: ['- a', 'a #b', '~', '.5', '0x1F', "line\\nbreak", '@at', '%pc', '{', '[', '&', '*', '!', '|', '>', '`', '...', '---']
shared: &shared {k: [1]}
again: *shared
octal: 0o17
padded: 010
"""

EVERY_PARAMETER = Case(
    name="every-parameter",
    files={
        "params.yaml": _PARAMS_YAML,
        "whole.yaml": "z: 1\na: {y: [], x: {}}\n",
        "conf/p.json": '{"b": {"c": "\\u00e9", "n": NaN}, "a": [1.5, 1e400], "big": 123456789012345678901234567890}',
        "conf/p.toml": "title = 'x'\n[owner]\nage = 3\nnames = ['a', 'b']\n[owner.deep]\nf = 1.0\n",
        "conf/p.py": (
            "import os\nA = 1\nB: float = 2.5\nC, D = 1, 2\nE = F = 3\nG = os.sep\nT = (1, (2, 'x'))\nN = -4\n"
            "class Train:\n    lr = 0.1\n    class Inner:\n        k = {'a': 1}\n"
            "    def __init__(self):\n        self.depth = 5\n        local = 6\n    def other(self):\n        self.no = 1\n"
        ),
        "plain.txt": "k: 5\n",
        "i": "1\n",
        "dvc.yaml": """\
stages:
  everything:
    cmd: cp i o
    deps: [i]
    params:
    - conf/p.toml: [owner, title]
    - tiny
    - nested
    - nested.b
    - nested.b.deep.-1
    - texts
    - more
    - list.1.x
    - list.0
    - shared
    - again
    - nothing
    - empty
    - huge
    - epochs
    - octal
    - padded
    - size
    - conf/p.json: [b, a, big]
    - conf/p.py: [Train, T, A, N, Train.Inner.k]
    - plain.txt: [k]
    outs: [o]
  patterns:
    cmd: cp i matched
    deps: [i]
    params: ['l?', 'n*d.b.d?ep.-1', '**.x', 'tex[t]s.0', 'list.[2-9].0', conf/p.toml: ['own*.a*', 'owner.**.f'], conf/p.py: ['Tr*.I*.k']]
    outs: [matched]
  after-anchors:
    cmd: cp o o2
    deps: [o]
    params: [shared, again, nested, nested.b]
    outs: [o2]
  whole-files:
    cmd: cp i o3
    deps: [i]
    params:
    - lr
    - whole.yaml:
    - conf/p.py:
    outs: [o3]
  only-params:
    cmd: echo 1 > o4
    params: [lr, .nested.name]
    outs: [o4]
""",
    },
)

FOLDERS = Case(
    name="folders",
    files={
        "make.sh": (
            "mkdir -p out/sub out/b-c out/b\n"
            "echo 1 > out/x.txt\necho 2 > out/sub/y\necho 3 > out/b-c/q\necho 4 > out/b.txt\necho 5 > out/b/c\n"
            "echo 6 > 'out/ünï cödé'\necho 7 > \"out/it's\"\n"
            "printf '' > empty\nmkdir -p void\necho 8 > tool\nchmod +x tool make.sh\n"
        ),
        "src/a.py": "a\n",
        "src/pkg/b.py": "b\n",
        "data/raw/1.csv": "1\n",
        "data/raw/deep/2.csv": "2\n",
        "data/one": "one\n",
        "dvc.yaml": """\
stages:
  make:
    cmd: sh make.sh
    deps: [make.sh, src]
    outs: [out, tool, empty]
  inside:
    cmd: cat out/sub/y > r1
    deps: [out/sub/y, out/sub, src/pkg]
    outs: [r1]
  tracked:
    cmd: cat data/raw/deep/2.csv data/one > data/made
    deps: [data/raw, data/raw/deep, data/one, tool]
    outs: [data/made]
  around:
    cmd: cp data/made r2
    deps: [data]
    outs: [r2]
""",
    },
    added=("data/raw", "data/one"),
)

_LONG = "python -m some.module " + " ".join(f"--option-{number} value-{number}" for number in range(12))

COMMANDS = Case(
    name="commands",
    files={
        "i": "1\n",
        "dvc.yaml": f"""\
stages:
  long:
    cmd: 'true {_LONG}'
    deps: [i]
    outs: []
  long-quoted:
    cmd: "true '{_LONG}' \\"and: more\\" # {_LONG}"
    deps: [i]
  long-list:
    cmd:
    - 'true {_LONG} {_LONG}'
    - cp i o-list
    - "true one\\nfalse && true || true\\ntrue"
    deps: [i]
    outs: [o-list]
  folded:
    cmd: >-
      true {_LONG}
      and the rest of it
    deps: [i]
    metrics: []
  lines: {{cmd: "cp i l1\\ntrue\\n\\ncp i l2\\n", deps: [i], outs: [l1, l2]}}
  a.b/c: {{cmd: cp i n1, deps: [i], outs: [n1]}}
  sp ace: {{cmd: cp i n2, deps: [i], outs: [n2]}}
  'null': {{cmd: cp i n3, deps: [i], outs: [n3]}}
  '1e3': {{cmd: cp i n4, deps: [i], outs: [n4]}}
  ünï: {{cmd: cp i n5, deps: [i], outs: [n5], desc: text, meta: {{any: [thing]}}}}
  {"k" * 130}: {{cmd: cp i n6, deps: [i], outs: [n6]}}
  no-deps: {{cmd: echo 1 > n7, outs: [n7]}}
  callback: {{cmd: 'true'}}
  always: {{cmd: cp i n8, deps: [i], outs: [n8], always_changed: true}}
  twice: {{cmd: cp i n10, deps: [i, i, ./i], outs: [n10, n10: {{cache: true}}]}}
""",
    },
)

SEVERAL_FILES = Case(
    name="several-files",
    files={
        "params.yaml": "top: 1\n",
        "w/params.yaml": "inner: 2\n",
        "a/params.yaml": "inner: 3\n",
        "data/i": "1\n",
        "w/keep": "",
        "dvc.yaml": """\
stages:
  end:
    cmd: cat a/mid sub/deep/last > end
    deps: [sub/deep/last, a/mid]
    params: [top]
    outs: [end]
  in-wdir:
    wdir: w
    cmd: mkdir -p d && cp ../data/i o && cp o d/x && cp o m.json && cp o p.csv && cp o u
    deps: [../data/i, ./keep]
    params: [inner, {../params.yaml: [top]}]
    outs: [./o, d/, sub/../u: {cache: false}]
    metrics: [m.json: {cache: false}]
    plots: [p.csv: {cache: false, x: a, y: b}]
  cached-metric:
    cmd: echo '{}' > m2.json && echo '{}' > m3.json
    deps: [w/o]
    metrics: [m2.json, m3.json: {cache: false}]
plots: [w/p.csv]
metrics: [m2.json]
params: [params.yaml]
artifacts: {model: {path: end, type: model, labels: [x]}}
""",
        "a/dvc.yaml": """\
stages:
  mid: {cmd: cp ../w/o mid, deps: [../w/o, ../w/d], params: [inner], outs: [mid]}
""",
        "sub/deep/dvc.yaml": """\
stages:
  last: {wdir: ../.., cmd: cp a/mid sub/deep/last, deps: [a/mid], outs: [sub/deep/last]}
  same: {cmd: cp ../../data/i i2, deps: [../../data/i], outs: [i2]}
""",
    },
)

FOREIGN_ENTRIES = Case(
    name="foreign-entries",
    files={
        "i": "1\n",
        "dvc.yaml": "stages:\n  b: {cmd: cp i o, deps: [i], outs: [o]}\n  new: {cmd: cp o o2, deps: [o], outs: [o2]}\n",
        "dvc.lock": """\
# made by hand
schema: '2.0'
stages:
  gone: # stays
    cmd: "echo   gone"
    params:
      p.yaml: {a: 0x1F, b: 1e-5, c: [1, 2], d: 'x'}
    deps:
      - path: old
        md5: 0123456789abcdef0123456789abcdef
        size: 3
  b:
    cmd: cp other o # goes
    outs: []
  z:
    cmd: &anchored a && b
""",
    },
)


def random_graph(seed: int, count: int) -> Case:
    """Stages in a random order of definition, each reading from some of those made before it."""
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(count)]
    blocks = []
    for number, name in enumerate(names):
        below = chance.sample(names[:number], min(number, chance.randint(0, 3)))
        deps = [f"out/{other}" for other in below] + chance.choice([[], ["i"]])
        chance.shuffle(deps)
        line = f"  {name}: {{cmd: mkdir -p out && echo {name} > out/{name}, deps: [{', '.join(deps)}], outs: [out/{name}]}}"
        blocks.append(line)
    blocks.append("  all: {cmd: 'true', deps: [out]}")
    chance.shuffle(blocks)
    return Case(name=f"random-{seed}", files={"i": "1\n", "dvc.yaml": "stages:\n" + "\n".join(blocks) + "\n"})


CASES = (
    EVERY_PARAMETER,
    FOLDERS,
    COMMANDS,
    SEVERAL_FILES,
    FOREIGN_ENTRIES,
    random_graph(1, 12),
    random_graph(2, 16),
)
