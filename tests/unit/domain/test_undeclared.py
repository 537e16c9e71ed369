"""Which files a stage declares, and when a result that read others may stand for running it."""

from dataclasses import replace

import pytest

from wherry.service.domain.blob import BlobHash, hash_content
from wherry.service.domain.dvc.stage import Dependency, ParamsDependency, Stage, StageName
from wherry.service.domain.errors import Place
from wherry.service.domain.images.image import Image
from wherry.service.domain.paths import PathSet, ProjectPath
from wherry.service.domain.reads import ProjectFiles, Reads
from wherry.service.domain.settings import StageSettings, Undeclared
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import RunId, StageTask, StrictKey
from wherry.service.domain.undeclared import (
    declared_files,
    reads_of,
    still_holds,
    undeclared_files,
)
from wherry.service.domain.undeclared_deps import deps_to_add

_PROJECT = {
    "dvc.yaml": "stages",
    "sub/dvc.lock": "lock",
    ".dvc/config": "",
    ".dvcignore": "",
    "src2/.gitignore": "/out",
    "params.yaml": "lr: 1",
    "train.py": "import helper",
    "helper.py": "one",
    "src/a.py": "a",
    "src-b.py": "b",
    "src/__pycache__/a.cpython-311.pyc": "bytecode",
    "data.dvc": "outs",
}


def _stage(*deps: str, wdir: str = ".") -> Stage:
    place = Place(path=ProjectPath("dvc.yaml"))
    return Stage(
        name=StageName("train"),
        file=ProjectPath("dvc.yaml"),
        key="train",
        place=place,
        cmd="make",
        wdir=ProjectPath(wdir),
        deps=tuple(Dependency(path=dep, project_path=ProjectPath(dep)) for dep in deps),
        params=(ParamsDependency(path="params.yaml", project_path=ProjectPath("params.yaml"), keys=("lr",)),),
    )


def _task(files: dict[str, str], *deps: str, undeclared: Undeclared | None = None) -> StageTask:
    held = {
        ProjectPath(path): SnapshotFile(hash=hash_content(text.encode()), size_bytes=len(text))
        for path, text in files.items()
    }
    return StageTask(
        run_id=RunId("1"),
        user="ana",
        stage=_stage(*(deps or ("train.py", "src"))),
        deps=(),
        params={},
        image=Image(name="i", digest="sha256:0", platform="linux/amd64"),
        environment={},
        network=True,
        key=StrictKey("k"),
        files=held,
        data=(),
        use_cache=True,
        cacheable=True,
        settings=StageSettings(undeclared=undeclared),
        project_files=ProjectFiles(held),
    )


def _read(task: StageTask, *paths: str) -> Reads:
    return reads_of(task, [ProjectPath(path) for path in paths])


def test_what_is_declared_and_what_is_dvcs_own_is_no_undeclared_file() -> None:
    task = _task(_PROJECT)
    assert undeclared_files(task) == ("helper.py", "src-b.py", "data.dvc")
    assert set(task.files) - set(declared_files(task)) == {"helper.py", "src-b.py", "data.dvc"}


@pytest.mark.parametrize("dep", [".", ".."])
def test_who_declares_the_whole_project_has_nothing_undeclared(dep: str) -> None:
    task = _task(_PROJECT, dep)
    assert undeclared_files(task) == ()
    assert declared_files(task) == task.files


def test_a_result_stands_while_what_it_read_is_the_same() -> None:
    reads = _read(_task(_PROJECT), "src-b.py", "helper.py")
    assert [file.path for file in reads.files] == ["helper.py", "src-b.py"]
    assert still_holds(reads, _task(_PROJECT))
    assert still_holds(reads, _task(_PROJECT | {"data.dvc": "other", "dvc.yaml": "other", "new.py": ""}))
    assert not still_holds(reads, _task(_PROJECT | {"helper.py": "two"}))
    gone = {path: text for path, text in _PROJECT.items() if path != "helper.py"}
    assert not still_holds(reads, _task(gone))
    assert [file.path for file in reads.changed_in(_task(gone).files)] == ["helper.py"]


def test_an_execute_bit_counts() -> None:
    task = _task(_PROJECT)
    reads = _read(task, "helper.py")
    path = ProjectPath("helper.py")
    other = replace(task, files={**task.files, path: replace(task.files[path], executable=True)})
    assert not still_holds(reads, other)


def test_where_reads_cannot_be_seen_every_file_counts_but_dvcs_own_and_declared_params() -> None:
    reads = reads_of(_task(_PROJECT), None)
    same = {"dvc.yaml": "other", "sub/dvc.lock": "other", ".dvc/config": "other", "params.yaml": "lr: 2"}
    assert still_holds(reads, _task(_PROJECT | same))
    assert not still_holds(reads, _task(_PROJECT | {"data.dvc": "other"}))
    assert not still_holds(reads, _task(_PROJECT | {"new": ""}))
    # A result of a machine that sees reads counts on one that does not.
    assert still_holds(_read(_task(_PROJECT), "helper.py"), _task(_PROJECT | {"new": ""}))


def test_a_result_that_nobody_observed_counts_only_where_undeclared_reads_do_not() -> None:
    assert not still_holds(None, _task(_PROJECT))
    assert not still_holds(None, _task(_PROJECT, undeclared=Undeclared.ERROR))
    assert still_holds(None, _task(_PROJECT, undeclared=Undeclared.IGNORE))


def test_a_strict_stage_takes_only_results_that_read_nothing_undeclared() -> None:
    strict = _task(_PROJECT, undeclared=Undeclared.ERROR)
    assert still_holds(Reads(), strict)
    assert still_holds(Reads(), _task(_PROJECT))
    assert not still_holds(_read(_task(_PROJECT), "helper.py"), strict)
    assert not still_holds(reads_of(_task(_PROJECT), None), strict)


def test_reads_are_told_apart_by_path_content_and_bit() -> None:
    task = _task(_PROJECT)
    one, other = _read(task, "helper.py"), _read(task, "src-b.py")
    moved = replace(one.files[0], hash=BlobHash("0" * 32))
    different = (one, other, Reads(files=(moved,)), reads_of(task, None), Reads())
    assert len({reads.fingerprint for reads in different}) == len(different)
    assert Reads().fingerprint == ""


def _deps(*read: str, wdir: str = ".", outputs: tuple[str, ...] = ()) -> tuple[str, ...]:
    return deps_to_add(
        _stage(wdir=wdir), [ProjectPath(path) for path in read], PathSet(map(ProjectPath, outputs))
    )


def test_few_files_are_named_one_by_one_as_seen_from_the_working_folder() -> None:
    assert _deps("src/b.py", "conf.json", wdir="src") == ("../conf.json", "b.py")


def test_many_files_are_named_by_their_folders() -> None:
    many = [f"lib/{name}.py" for name in "abcd"] + ["lib/deep/x.py", "lib/deep/y.py", "one/z.py", "top.py"]
    assert _deps(*many) == ("lib", "one/z.py", "top.py")
    assert _deps(*many, outputs=("lib/model",)) == (
        *(f"lib/{name}.py" for name in "abcd"),
        "lib/deep",
        "one/z.py",
        "top.py",
    )


def test_the_top_of_the_project_is_never_named_as_a_folder() -> None:
    assert _deps(*(f"{name}.py" for name in "abcdefg")) == tuple(f"{name}.py" for name in "abcdefg")
