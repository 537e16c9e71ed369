"""What `wherry init` sees in a project's files."""

import tomllib
from pathlib import Path

from wherry.client.survey.commands import started_files, variables_read
from wherry.client.survey.proposal import Basis, propose
from wherry.client.survey.sources import read_source
from wherry.client.survey.survey import Survey, survey_project
from wherry.v1.pipelines_pb2 import Pipeline

_ALL = frozenset({"image", "network", "env", "requirements", "secrets", "gpus"})


def _survey(root: Path, files: dict[str, str], pipeline: Pipeline | None = None) -> Survey:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return survey_project(root, list(files), pipeline)


def test_every_usual_way_to_read_a_variable_is_seen_and_setting_one_is_not() -> None:
    source = read_source(
        "a.py",
        b"import os\nfrom os import environ, getenv\n"
        b"os.environ['A']; os.getenv('B', 'b'); environ.get('C'); getenv('D')\n"
        b"os.environ['SET'] = 'x'\nsettings.get('NOT')\n",
    )
    assert source is not None
    assert {(use.name, use.default) for use in source.variables} == {
        ("A", None),
        ("B", "b"),
        ("C", None),
        ("D", None),
    }
    assert read_source("b.py", b"print 'python 2'") is None
    assert read_source("c.py", b"\x00") is None


def test_programs_are_found_in_commands_however_they_are_started() -> None:
    files = {"src/train.py", "pkg/run.py", "pkg/__main__.py", "sub/eval.py"}
    cases = {
        "python src/train.py --lr 1": ["src/train.py"],
        "X=1 python3.11 -u -W ignore src/train.py && echo done": ["src/train.py"],
        "python -m pkg.run": ["pkg/run.py"],
        "uv run python -m pkg": ["pkg/__main__.py"],
        "poetry run ./src/train.py": ["src/train.py"],
        "python -c 'import x'": [],
        "echo 'never closed": [],
    }
    assert {cmd: started_files([cmd], ".", files) for cmd in cases} == cases
    assert started_files(["python eval.py"], "sub", files) == ["sub/eval.py"]


def test_variables_that_a_command_sets_itself_are_not_wanted_from_outside() -> None:
    assert variables_read(
        ["A=1 run $A ${B:-x} $1 && for f in *; do cat $f; done; export C=2; echo $C $HOME"]
    ) == [
        "B",
        "HOME",
    ]


def test_a_src_layout_asks_for_pythonpath_and_what_is_not_declared_is_told(tmp_path: Path) -> None:
    pipeline = Pipeline()
    stage = pipeline.stages.add(name="train", cmd=["python src/stages/train.py"], wdir=".")
    stage.deps.append("src/stages/train.py")
    pipeline.stages.add(name="prepare", cmd=["true"], wdir=".").outs.add(path="data")
    found = _survey(
        tmp_path,
        {
            "src/features/__init__.py": "from . import names\n",
            "src/features/names.py": "",
            "src/stages/train.py": "import features, json, torch\nopen('data')\nopen('params.yaml')\n",
            "params.yaml": "",
        },
        pipeline,
    )
    assert dict(found.places) == {"src": ("src/stages/train.py", "features")}
    assert found.gpu == ("torch",)
    (undeclared,) = found.undeclared
    assert undeclared.paths == ("src/features/__init__.py", "src/features/names.py", "params.yaml")
    assert undeclared.outputs == ("data",)
    # A command that sets it needs no setting, and `python -m` looks in the working folder.
    stage.cmd[:] = ["PYTHONPATH=src python src/stages/train.py"]
    assert not _survey(
        tmp_path, {"src/features/__init__.py": "", "src/stages/train.py": "import features\n"}, pipeline
    ).places


def test_packages_that_nothing_installs_are_seen(tmp_path: Path) -> None:
    files = {
        "src/train.py": "import json, yaml, numpy.linalg\nfrom sklearn.svm import SVC\nimport helpers, lib.inner\n"
        "if __name__ == '__main__': pass\n",
        "src/helpers.py": "import pandas\n",
        "lib/inner.py": "",
        "tools/unused.py": "import flask\n",
    }
    assert _survey(tmp_path, files).packages == ("numpy", "pandas", "sklearn", "yaml")
    for said in (
        "requirements.txt",
        "requirements/base.txt",
        "docker/Dockerfile",
        "conda.yml",
        "poetry.lock",
    ):
        assert _survey(tmp_path, {**files, said: ""}).packages == ()


def test_the_python_version_is_that_of_the_most_exact_file(tmp_path: Path) -> None:
    texts = {
        ".python-version": "3.12.4\n",
        "environment.yml": "dependencies:\n  - python=3.10\n",
        "pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.9'\n",
    }
    versions = []
    while texts:
        python = _survey(tmp_path, dict(texts)).python
        assert python is not None
        versions.append(python.version)
        texts.pop(next(iter(texts)))
    assert versions == ["3.12", "3.10", "3.9"]
    assert _survey(tmp_path, {"pyproject.toml": "not toml ["}).python is None


def test_the_proposal_is_toml_with_settings_that_the_service_reads_and_no_others(tmp_path: Path) -> None:
    found = _survey(
        tmp_path,
        {
            "requirements.txt": "wandb\n",
            "uv.lock": "",
            "run.py": "import os, wandb, lib.a\nos.getenv('LEVEL', 'a\"b\\\\')\n__name__ == '__main__'\n",
            "src/lib/a.py": "",
        },
    )
    old = propose(found, Basis(readable={"image", "env"}, prefix="ml"), image="team:1")
    assert tomllib.loads(old.text) == {
        "defaults": {"image": "team:1", "env": {"PYTHONPATH": "/workspace/ml/src"}}
    }
    assert old.secrets == ("WANDB_API_KEY",)
    new = propose(found, Basis(readable=_ALL, default_image="base:1"))
    assert tomllib.loads(new.text)["defaults"] == {
        "requirements": "uv.lock",
        "env": {"PYTHONPATH": "/workspace/src"},
    }
    # What stands in comments is TOML too, once the sign is taken away.
    commented = [line[2:] for line in new.text.splitlines() if line.startswith("# LEVEL = ")]
    assert tomllib.loads(commented[0]) == {"LEVEL": 'a"b\\'}
