"""Which files of the project a stage declares, and whether a result's reads of others still hold."""

from collections.abc import Callable, Iterable, Mapping

from wherry.service.domain.paths import ROOT, PathSet, ProjectPath, is_within
from wherry.service.domain.reads import ReadFile, Reads, is_bytecode, is_dvc_file
from wherry.service.domain.settings import Undeclared
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import StageTask


def declared_files(task: StageTask) -> Mapping[ProjectPath, SnapshotFile]:
    """The project's files that the stage declares, as dependencies or params files, and DVC's own."""
    declares = _declares(task)
    return {path: file for path, file in task.files.items() if is_dvc_file(path) or declares(path)}


def undeclared_files(task: StageTask) -> tuple[ProjectPath, ...]:
    """The project's other files: what of them a stage reads counts for its result."""
    declares = _declares(task)
    return tuple(
        path for path in task.files if not (is_dvc_file(path) or is_bytecode(path) or declares(path))
    )


def reads_of(task: StageTask, paths: Iterable[ProjectPath] | None) -> Reads:
    """Keep what was read with its content; None: it could not be seen, so it may have been anything."""
    if paths is None:
        return Reads(all_files=all_files(task))
    return Reads(files=tuple(_read_file(path, task.files[path]) for path in sorted(paths)))


def still_holds(reads: Reads | None, task: StageTask) -> bool:
    """Whether what a result read is what the task would read. None: nobody looked what it read."""
    match task.undeclared:
        case Undeclared.IGNORE:
            return True
        case Undeclared.ERROR:
            return reads is not None and not reads.fingerprint
        case Undeclared.WARN:
            if reads is None:
                return False
            if reads.all_files:
                return reads.all_files == all_files(task)
            return not reads.changed_in(task.files)


def all_files(task: StageTask) -> str:
    """Stand for everything that the stage may read without declaring it."""
    return task.project_files.fingerprint(frozenset(params.project_path for params in task.stage.params))


def _declares(task: StageTask) -> Callable[[ProjectPath], bool]:
    paths = [item.project_path for item in task.stage.inputs]
    # A whole project, or a folder around it.
    if any(is_within(ROOT, path) for path in paths):
        return lambda _: True
    return PathSet(paths).covers


def _read_file(path: ProjectPath, file: SnapshotFile) -> ReadFile:
    return ReadFile(path=path, hash=file.hash, size_bytes=file.size_bytes, executable=file.executable)
