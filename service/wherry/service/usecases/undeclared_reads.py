"""Lets a stage see what its setting `undeclared` says, and finds what it read without declaring it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.reads import Reads
from wherry.service.domain.settings import Undeclared
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import StageTask
from wherry.service.domain.undeclared import declared_files, reads_of, undeclared_files
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver
from wherry.service.ports.workspaces import Workspaces


def shown_files(task: StageTask) -> Mapping[ProjectPath, SnapshotFile]:
    """The project's files that the stage is to see."""
    return declared_files(task) if task.undeclared is Undeclared.ERROR else task.files


async def tell_hidden(task: StageTask, observer: StageObserver) -> None:
    """After a failure, say that files were hidden: the command only knows that it did not find one."""
    if task.undeclared is not Undeclared.ERROR:
        return
    hidden = len(task.files) - len(declared_files(task))
    if hidden:
        said = (
            f'undeclared = "error": {hidden} file{"" if hidden == 1 else "s"} of the project that the stage does not '
            "declare are hidden from it; what it did not find may be one of them, to be added to its deps"
        )
        await observer.wrote(LogStream.SYSTEM, [said.encode()])


async def find_undeclared(
    task: StageTask,
    workspaces: Workspaces,
    workspace: Path,
    at: Callable[[StageTask, ProjectPath], ProjectPath],
) -> Reads | None:
    """What the stage has read without declaring it; None: that is not to count.

    `at` says where in the workspace a path of the project is.
    """
    if task.undeclared is Undeclared.IGNORE:
        return None
    if task.undeclared is Undeclared.ERROR:
        return Reads()
    paths = {at(task, path): path for path in undeclared_files(task)}
    read = await workspaces.find_read(workspace, paths)
    return reads_of(task, None if read is None else [paths[path] for path in read])
