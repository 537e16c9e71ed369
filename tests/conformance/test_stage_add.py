"""`stage add` writes the dvc.yaml that `dvc stage add` writes, and refuses what that refuses."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.conformance.harness import DVC_FOLDER
from tests.conformance.stage_add_cases import PLAIN, REFUSED, WRITTEN
from wherry.service.domain.dvc.lint import read_files
from wherry.service.domain.dvc.project_files import find_dvc_files
from wherry.service.domain.dvc.shape import NotReadYet
from wherry.service.domain.dvc.stage_add import (
    NewOutput,
    NewStage,
    check_in_graph,
    resolve_new_stage,
    write_stage,
)
from wherry.service.domain.errors import InvalidInput
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind

# Answers each line of JSON [files, folder, arguments] with [dvc.yaml or null, name of the error].
_SERVE = """
import json, logging, os, shutil, sys, tempfile
from dvc.cli import parse_args
from dvc.repo import Repo
from dvc.ui import ui
logging.disable(logging.CRITICAL)
home = os.getcwd()
template = os.path.join(home, "template")
Repo.init(template, no_scm=True).close()
for line in sys.stdin:
    files, folder, arguments = json.loads(line)
    project = os.path.realpath(tempfile.mkdtemp(dir=home))
    shutil.copytree(template, project, dirs_exist_ok=True)
    here = os.path.join(project, folder)
    for place in ("w", "w/deep"):
        os.makedirs(os.path.join(here, place), exist_ok=True)
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(project, path)), exist_ok=True)
        with open(os.path.join(project, path), "w", encoding="utf-8", newline="") as file:
            file.write(text)
    os.chdir(here)
    error = ""
    try:
        args = parse_args(["stage", "add", *arguments])
        code = args.func(args).do_run()
        error = f"code {code}" if code else ""
    except SystemExit as exc:
        error = "SystemExit"
    except Exception as exc:
        error = type(exc).__name__
    written = None
    if os.path.exists("dvc.yaml"):
        with open("dvc.yaml", encoding="utf-8", newline="") as file:
            written = file.read()
    os.chdir(home)
    shutil.rmtree(project)
    sys.stderr.flush()
    print("\\n>" + json.dumps([written, error]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Dvc:
    """A process of DVC's own interpreter that adds stages."""

    process: "subprocess.Popen[str]"

    def add(self, files: Mapping[str, str], folder: str, arguments: list[str]) -> tuple[str | None, str]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps([files, folder, arguments]) + "\n")
        stdin.flush()
        answer = next(line for line in stdout if line.startswith(">"))
        written, error = json.loads(answer[1:])
        return written, error


@pytest.fixture(scope="module")
def dvc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dvc]:
    command = [str(DVC_FOLDER / "python"), "-c", _SERVE]
    environment = {"HOME": "/nonexistent", "DVC_NO_ANALYTICS": "1", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        command,
        cwd=tmp_path_factory.mktemp("stages"),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Dvc(process)
        finally:
            process.kill()


_FLAGS = {
    (OutputKind.OUT, True, False): ("-o", "--outs"),
    (OutputKind.OUT, False, False): ("-O", "--outs-no-cache"),
    (OutputKind.OUT, True, True): ("--outs-persist",),
    (OutputKind.OUT, False, True): ("--outs-persist-no-cache",),
    (OutputKind.METRIC, True, False): ("-m", "--metrics"),
    (OutputKind.METRIC, False, False): ("-M", "--metrics-no-cache"),
    (OutputKind.PLOT, True, False): ("--plots",),
    (OutputKind.PLOT, False, False): ("--plots-no-cache",),
}


def arguments_of(new: NewStage, *, force: bool) -> list[str]:
    """The stage as DVC's command line takes it."""
    arguments = [f"--name={new.name}"]
    for flag, values in (("--deps", new.deps), ("--params", new.params)):
        arguments += [f"{flag}={value}" for value in values]
    for out in new.outs:
        arguments.append(f"{_FLAGS[out.kind, out.cache, out.persist][-1]}={out.path}")
    if new.wdir:
        arguments.append(f"--wdir={new.wdir}")
    if new.desc:
        arguments.append(f"--desc={new.desc}")
    arguments += ["--always-changed"] * new.always_changed + ["--force"] * force
    return [*arguments, *new.command]


def add(files: Mapping[str, str], folder: str, new: NewStage, *, force: bool) -> str:
    """The stage added by us."""
    file = ProjectPath(f"{folder}/dvc.yaml" if folder else "dvc.yaml")
    stage = resolve_new_stage(new, file)
    contents = {ProjectPath(path): text.encode() for path, text in files.items()}
    readable = read_files(find_dvc_files(contents), contents.get)
    for mistake in readable.mistakes:
        if not isinstance(mistake, NotReadYet):
            raise mistake
    content = files.get(file)
    written = write_stage(
        content.encode() if content is not None else None, stage, desc=new.desc, force=force
    )
    check_in_graph(stage, readable.stages, readable.sources)
    return written.decode()


def expect_equal(
    dvc: Dvc, files: Mapping[str, str], folder: str, new: NewStage, *, force: bool = False
) -> str:
    """Both write the same, or both refuse; returns DVC's error."""
    theirs, error = dvc.add(files, folder, arguments_of(new, force=force))
    ours, refusal = None, ""
    try:
        ours = add(files, folder, new, force=force)
    except InvalidInput as exc:
        refusal = exc.message
    assert bool(refusal) == bool(error), f"DVC says {error!r}, we say {refusal!r}"
    if not error:
        assert ours == theirs
    return error


@pytest.mark.parametrize("case", WRITTEN)
def test_the_file_is_that_of_dvc(case: str, dvc: Dvc) -> None:
    files, folder, new, force = WRITTEN[case]
    assert not expect_equal(dvc, files, folder, new, force=force)


@pytest.mark.parametrize("case", REFUSED)
def test_what_dvc_refuses_is_refused(case: str, dvc: Dvc) -> None:
    files, folder, new, force = REFUSED[case]
    assert expect_equal(dvc, files, folder, new, force=force)


@pytest.mark.parametrize(
    ("text", "name", "force"),
    [
        pytest.param(
            "stages:\n  g:\n    foreach: [1]\n    do: {cmd: x}\n", "g", False, id="a foreach, unforced"
        ),
        pytest.param(
            "stages:\n  a: &a {cmd: x, deps: [i]}\n  b: *a\n", "a", True, id="a stage that another repeats"
        ),
        pytest.param(
            "vars: [{v: 1}]\nstages:\n  a: {cmd: x, desc: 'is ${v}'}\n", "a", True, id="a templated desc"
        ),
    ],
)
def test_what_dvc_would_lose_or_change_by_the_way_is_refused(text: str, name: str, force: bool) -> None:
    with pytest.raises(InvalidInput) as caught:
        add({"dvc.yaml": text}, "", NewStage(name=name, command=("y",)), force=force)
    assert caught.value.hint
    assert caught.value.place is not None


_PATHS = (
    *("a", "b", "./b", "c/d", "c", "w/e", "ü", "x y", "#1", "- z", "{j}", "p.json", "c/d/e", "data", "raw/1"),
    *("1.0", "null", "k: v", "d/", "dvc.lock", "*", "[x]"),
)
_WORDS = st.text(st.sampled_from("abz $\"'\\#:{}[]-&*!|>%@,?=ü\n\t~0"), max_size=12)
_KEYS = st.sampled_from(["lr", "a.b", "k,j", "f.yaml:x", "f.yaml:y,z", "f.yaml:", "w/g.py:q", "l,l", ""])


@st.composite
def _stages(draw: st.DrawFn) -> NewStage:
    paths = draw(st.permutations(_PATHS))
    split, end = draw(st.integers(0, 3)), draw(st.integers(3, 6))
    kinds = draw(st.lists(st.sampled_from(list(_FLAGS)), min_size=end, max_size=end))
    return NewStage(
        name=draw(st.sampled_from(["s", "train", "prepare", "a b", "1", "é-_", "x.y"])),
        command=("echo", *draw(st.lists(_WORDS, max_size=4))),
        wdir=draw(st.sampled_from(["", "", "w", "./w/deep", "."])),
        deps=tuple(paths[:split]),
        params=tuple(draw(st.lists(_KEYS, max_size=3))),
        outs=tuple(
            NewOutput(path=path, kind=kind, cache=cache, persist=persist)
            for path, (kind, cache, persist) in zip(paths[split:end], kinds, strict=False)
        ),
        always_changed=draw(st.booleans()),
        desc=draw(_WORDS),
    )


_FILES = st.sampled_from(
    [
        {},
        {"dvc.yaml": ""},
        {"dvc.yaml": PLAIN},
        {"dvc.yaml": PLAIN, "sub/dvc.yaml": "stages:\n  s: {cmd: y, outs: [../c/d]}\n"},
    ]
)


@seed(20)
@settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(files=_FILES, folder=st.sampled_from(["", "", "sub"]), new=_stages(), force=st.booleans())
def test_drawn_stages_are_written_or_refused_as_by_dvc(
    dvc: Dvc, files: Mapping[str, str], folder: str, new: NewStage, force: bool
) -> None:
    expect_equal(dvc, files, folder, new, force=force)
