"""The real StageRunner: inputs, container, outputs."""

from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.stage import Output
from wherry.service.domain.errors import DISK_FULL, BlobMissing, Unavailable, WherryError, disk_full
from wherry.service.domain.paths import ROOT, ProjectPath, resolve_project_path
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.shell import shell_argv
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.states import CacheUse, Phase, State
from wherry.service.domain.task import (
    AttemptId,
    Failed,
    InputData,
    Lost,
    Outcome,
    StageTask,
    Succeeded,
    Vanished,
)
from wherry.service.ports.containers import ContainerSpec, Exit
from wherry.service.ports.logs import LogStream
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.ports.workspaces import CollectedOutput, OutputUnusable, Workspaces
from wherry.service.usecases.leftovers import Leftover, attempt_labels
from wherry.service.usecases.put_blobs import LocalBlob, PutBlobs
from wherry.service.usecases.remains import Remains
from wherry.service.usecases.run_container import Ended, RunContainer

WORKSPACE_AT = "/workspace"
HOME_AT = "/home/wherry"


class ContainerStageRunner(StageRunner):
    """Runs a stage in a container of its own, in a workspace of its own."""

    def __init__(
        self,
        *,
        run_container: RunContainer,
        workspaces: Workspaces,
        put: PutBlobs,
        user: str,
        labels: dict[str, str],
        remains: Remains,
    ) -> None:
        """Containers run as `user` (uid:gid) and carry `labels` beside those of the attempt."""
        self._run_container = run_container
        self._workspaces = workspaces
        self._put = put
        self._user = user
        self._labels = labels
        self._remains = remains

    async def run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        """Run the stage. Container and workspace of a success stay among the remains, until its result is kept."""
        return await self._told(attempt, self._run(task, attempt, observer))

    async def resume(self, task: StageTask, leftover: Leftover, observer: StageObserver) -> Outcome:
        """Go on with a stage whose container an earlier life of the service has started."""
        return await self._told(leftover.attempt, self._resume(task, leftover, observer))

    async def _told(self, attempt: AttemptId, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        """The outcome, whatever happens. Nothing is left of what is no success."""
        outcome: Outcome | None = None
        try:
            outcome = await work
        except OutputUnusable as exc:
            outcome = Failed(reason=str(exc), exit_code=0, wall_s=None)
        except BlobMissing as exc:
            outcome = Vanished(reason=exc.message)
        except Unavailable as exc:
            outcome = Lost(reason=exc.message)
        except OSError as exc:
            if exc.errno not in DISK_FULL:
                raise
            outcome = Lost(reason=disk_full(exc).message)
        except WherryError as exc:
            # What is left is the project's own: a tree that cannot be laid out, an image without a shell, content
            # that collides with other content.
            outcome = Failed(reason=exc.message, exit_code=None, wall_s=None)
        finally:
            if not isinstance(outcome, Succeeded):
                await self._remains.clear(attempt)
        return outcome

    async def _run(self, task: StageTask, attempt: AttemptId, observer: StageObserver) -> Outcome:
        await observer.began(attempt)
        await observer.entered(State.PREPARING, Phase.FETCHING)
        workspace = await self._workspaces.create(attempt)
        self._remains.add_workspace(attempt, workspace)
        contents = _contents(task)
        mounts = await self._workspaces.lay_out(
            workspace, files=contents.files, data=contents.data, folders=contents.folders
        )
        spec = self._spec(task, attempt, workspace, mounts)
        await observer.wrote(LogStream.SYSTEM, list(_opening(task)))
        ended = await self._run_container(spec, attempt, observer)
        return await self._outcome(task, workspace, ended, observer)

    async def _resume(self, task: StageTask, leftover: Leftover, observer: StageObserver) -> Outcome:
        contents, attempt = _contents(task), leftover.attempt
        workspace = await self._workspaces.adopt(
            attempt, files=contents.files, data=contents.data, folders=contents.folders
        )
        self._remains.add_workspace(attempt, workspace)
        await observer.resumed(attempt)
        ended = await self._run_container.resume(leftover.container, attempt, observer)
        return await self._outcome(task, workspace, ended, observer)

    async def _outcome(
        self, task: StageTask, workspace: Path, ended: Ended, observer: StageObserver
    ) -> Outcome:
        if ended.exit.code != 0 or ended.exit.out_of_memory:
            return Failed(reason=_why(ended.exit), exit_code=ended.exit.code, wall_s=ended.wall_s)
        outs = await self._keep_outputs(task, workspace, observer)
        entry = StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=outs)
        return Succeeded(entry=entry, cache=CacheUse.MISS, wall_s=ended.wall_s)

    def _spec(
        self, task: StageTask, attempt: AttemptId, workspace: Path, mounts: Mapping[ProjectPath, Path]
    ) -> ContainerSpec:
        stage = task.stage
        return ContainerSpec(
            name=f"wherry-{attempt}",
            image=task.image,
            argv=shell_argv(stage.commands),
            # As DVC sets them (research: running a stage), and what the stage declares.
            environment={
                "DVC_ROOT": _in_container(task.root_at),
                "DVC_STAGE": stage.name,
                **task.environment,
            },
            workspace=workspace,
            workspace_at=WORKSPACE_AT,
            working_folder=_in_container(_at(task, stage.wdir)),
            user=self._user,
            home=HOME_AT,
            network=task.network,
            read_only={f"{WORKSPACE_AT}/{path}": folder for path, folder in mounts.items()},
            labels={
                **self._labels,
                **attempt_labels(task, attempt),
            },
        )

    async def _keep_outputs(
        self, task: StageTask, workspace: Path, observer: StageObserver
    ) -> tuple[FileEntry, ...]:
        declared = _declared(task)
        await observer.entered(State.RUNNING, Phase.COLLECTING)
        collected = await self._workspaces.collect(
            workspace, _outputs_at(task), task.ignore.moved_to(task.root_at)
        )
        await observer.entered(State.RUNNING, Phase.PUBLISHING)
        await self._put.put_files(
            (
                LocalBlob(digest=file.digest, sha256=file.sha256, source=file.source)
                for output in collected
                for file in output.files
            ),
            again=task.restores,
        )
        entries = []
        for out, output in zip(declared, collected, strict=True):
            digest = await self._keep_tree(output, again=task.restores)
            entries.append(
                FileEntry(
                    path=out.path,
                    hash=digest.hash,
                    size_bytes=output.total_bytes,
                    nfiles=len(output.files) if output.tree is not None else None,
                    executable=output.executable,
                )
            )
        return tuple(entries)

    async def _keep_tree(self, output: CollectedOutput, *, again: bool) -> Digest:
        if output.tree is None:
            return output.files[0].digest
        return await self._put.put_tree(output.tree.to_bytes(), again=again)


def _opening(task: StageTask) -> Iterator[bytes]:
    """The lines that come before what the stage writes."""
    if task.network_withheld:
        yield f"without a network: {task.network_withheld}".encode()
    for command in task.stage.commands:
        yield f"$ {command}".encode()


@dataclass(frozen=True, slots=True)
class _Contents:
    """What a workspace has, by paths from the top of the repository."""

    files: Mapping[ProjectPath, SnapshotFile]
    data: tuple[InputData, ...]
    folders: frozenset[ProjectPath]


def _contents(task: StageTask) -> _Contents:
    # DVC leaves the parents of outputs to the command; they are made here because a fresh
    # workspace has none of the folders that earlier runs left on a laptop.
    parents = {_parent(at) for at in _outputs_at(task)}
    files, data = task.files, task.data
    if task.root_at != ROOT:
        files = {_at(task, path): file for path, file in files.items()}
        data = tuple(replace(item, project_path=_at(task, item.project_path)) for item in data)
    return _Contents(files, data, frozenset({task.root_at, _at(task, task.stage.wdir), *parents}))


def _declared(task: StageTask) -> list[Output]:
    return sorted(task.stage.outs, key=lambda out: out.path)


def _outputs_at(task: StageTask) -> list[ProjectPath]:
    """Where the declared outputs are in the workspace."""
    return [_at(task, out.project_path) for out in _declared(task)]


def _at(task: StageTask, path: ProjectPath) -> ProjectPath:
    """Where a path of the project is in the workspace, whose top is that of the repository."""
    return resolve_project_path(task.root_at, path)


def _in_container(path: ProjectPath) -> str:
    return WORKSPACE_AT if path == ROOT else f"{WORKSPACE_AT}/{path}"


def _parent(path: ProjectPath) -> ProjectPath:
    return ProjectPath(path.rpartition("/")[0]) if "/" in path else ROOT


def _why(ended: Exit) -> str:
    if ended.out_of_memory:
        return "ran out of memory"
    if ended.code > 128:  # noqa: PLR2004 - shells report signal n as 128 + n
        return f"was ended by signal {ended.code - 128}"
    return f"exited with {ended.code}"
