"""Templates, vars, foreach and matrix: the same stages as DVC makes of them, or an error on both sides."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.conformance.harness import dvc_python, expected_run_cache, read_pipeline, reproduce
from tests.conformance.templating_cases import GENERATED, READ, REFUSED, Files
from tests.conformance.templating_projects import projects
from wherry.service.domain.dvc.lockfile import update_lock
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.errors import PipelineInvalid
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind

# Loads each project and says what its stages are, or the name of the error. A command that is no text
# loads, and fails when it is run.
_LOAD = """
import json, os, sys, tempfile
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

def described(stage, root):
    assert stage.cmd and isinstance(stage.cmd, (str, list)), "cmd"
    assert isinstance(stage.cmd, str) or all(isinstance(line, str) for line in stage.cmd), "cmd"
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    return {
        "cmd": stage.cmd,
        "wdir": os.path.relpath(stage.wdir, root),
        "deps": [dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)],
        "params": sorted([dep.def_path, sorted(set(dep.params)) or None] for dep in params),
        "outs": [[o.def_path, bool(o.use_cache), bool(o.metric), bool(o.plot), bool(o.can_push)] for o in stage.outs],
        "frozen": bool(stage.frozen), "always_changed": bool(stage.always_changed),
        "meta": (stage.meta or {}).get("wherry", {}),
    }

answers = []
home = os.getcwd()
for files in json.load(sys.stdin):
    folder = os.path.realpath(tempfile.mkdtemp(dir="."))
    Repo.init(folder, no_scm=True).close()
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
            file.write(text)
    os.chdir(folder)
    try:
        with Repo(folder) as repo:
            repo.index.check_graph()
            answers.append({s.addressing: described(s, folder) for s in repo.index.stages})
    except Exception as exc:
        answers.append(f"{type(exc).__name__}: {exc}")
    os.chdir(home)
print("\\n" + json.dumps(answers, default=str))
"""


def _ask_dvc(folder: Path, projects: Iterable[Files]) -> list[Any]:
    answers = dvc_python(folder, _LOAD, json.dumps(list(projects)))
    loaded: list[Any] = json.loads(answers.splitlines()[-1])
    return loaded


def _write(folder: Path, files: Files) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _ask_wherry(folder: Path, files: Files) -> Any:
    try:
        pipeline = read_pipeline(_write(folder, files))
    except PipelineInvalid as exc:
        return _checked(exc)
    return json.loads(json.dumps({name: _described(stage) for name, stage in pipeline.stages.items()}))


def _checked(error: PipelineInvalid) -> str:
    """An error has a place, and its line where the file is one whose lines are known."""
    assert error.place is not None
    assert error.place.line > 0 or not error.place.path.endswith((".yaml", "config"))
    return f"{error.place} {error.message}"


def _described(stage: Stage) -> Mapping[str, Any]:
    return {
        "cmd": stage.cmd,
        "wdir": stage.wdir,
        "deps": [dep.path for dep in stage.deps],
        "params": sorted(
            [params.path, sorted(params.keys) if params.keys else None] for params in stage.params
        ),
        "outs": [
            [out.path, out.cache, out.kind is OutputKind.METRIC, out.kind is OutputKind.PLOT, out.push]
            for out in stage.outs
        ],
        "frozen": stage.frozen,
        "always_changed": stage.always_changed,
        "meta": stage.settings,
    }


@pytest.fixture(scope="module")
def dvc_answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    assert not READ.keys() & REFUSED.keys()
    cases = {**READ, **REFUSED}
    return dict(zip(cases, _ask_dvc(tmp_path_factory.mktemp("cases"), cases.values()), strict=True))


@pytest.mark.parametrize("case", READ)
def test_templates_become_the_stages_that_dvc_makes_of_them(
    case: str, dvc_answers: Mapping[str, Any], tmp_path: Path
) -> None:
    assert isinstance(dvc_answers[case], dict), dvc_answers[case]
    assert _ask_wherry(tmp_path, READ[case]) == dvc_answers[case]


@pytest.mark.parametrize("case", REFUSED)
def test_templates_that_dvc_refuses_are_refused_with_their_place(
    case: str, dvc_answers: Mapping[str, Any], tmp_path: Path
) -> None:
    assert isinstance(dvc_answers[case], str), "DVC takes it"
    assert isinstance(_ask_wherry(tmp_path, REFUSED[case]), str)


def test_locks_of_generated_stages_are_equal_to_the_byte(tmp_path: Path) -> None:
    ran = reproduce(tmp_path / "project", GENERATED)
    stages = ran.pipeline.stages
    assert sorted(ran.dvc_order) == sorted(stages)
    for file in ("dvc.yaml", "sub/dvc.yaml"):
        ordered = [stages[StageName(name)] for name in ran.dvc_order if stages[StageName(name)].file == file]
        path = ProjectPath(file.replace(".yaml", ".lock"))
        written = update_lock(None, {stage.key: ran.entries[stage.name] for stage in ordered}, path)
        assert written.decode() == (ran.folder / path).read_text(encoding="utf-8")
    assert ran.run_cache_files() == expected_run_cache(ran)


_ROUNDS = int(os.environ.get("WHERRY_TEMPLATING_ROUNDS", "1"))
"""Each draws 100 projects. Set to more by hand; together with a seed of its own they go elsewhere."""


def test_drawn_projects_are_read_as_dvc_reads_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    first = int(os.environ.get("WHERRY_TEMPLATING_SEED", "1"))
    for number in range(first, first + _ROUNDS):
        drawn = _draw(number)
        answers = _ask_dvc(tmp_path_factory.mktemp("drawn"), drawn)
        for files, answer in zip(drawn, answers, strict=True):
            ours = _ask_wherry(tmp_path_factory.mktemp("ours"), files)
            if isinstance(answer, str):
                assert isinstance(ours, str), (files, answer, ours)
            else:
                assert ours == answer, files
        assert any(isinstance(answer, dict) and len(answer) > 1 for answer in answers)
        assert any(isinstance(answer, str) for answer in answers)


def _draw(number: int) -> Sequence[Files]:
    """Draw first, ask afterwards: DVC answers for all of them in one process."""
    drawn: list[Files] = []

    @seed(number)
    @settings(max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(projects())
    def collect(files: Files) -> None:
        drawn.append(files)

    collect()
    return drawn
