"""The real StageRunner: inputs, container, outputs."""

from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from wherry.service.domain.blob import Digest
from wherry.service.domain.endings import which_failed, why_failed
from wherry.service.domain.errors import (
    DISK_FULL,
    BlobMissing,
    DiskFull,
    SecretMissing,
    Unavailable,
    WherryError,
    disk_full,
)
from wherry.service.domain.paths import ROOT, ProjectPath
from wherry.service.domain.records import FileEntry, OutputKind, StageEntry
from wherry.service.domain.resources import size_text, thread_limits
from wherry.service.domain.shell import shell_argv
from wherry.service.domain.states import CacheUse, Phase, State
from wherry.service.domain.task import (
    AttemptId,
    Failed,
    Lost,
    Outcome,
    StageTask,
    Succeeded,
    Vanished,
)
from wherry.service.ports.clock import Clock
from wherry.service.ports.containers import ContainerSpec
from wherry.service.ports.logs import LogStream
from wherry.service.ports.secrets import SecretStore
from wherry.service.ports.stages import StageObserver, StageRunner
from wherry.service.ports.workspaces import CollectedOutput, LeftOutput, OutputUnusable, Workspaces
from wherry.service.usecases.leftovers import Leftover, attempt_labels
from wherry.service.usecases.patience import patiently
from wherry.service.usecases.put_blobs import LocalBlob, PutBlobs
from wherry.service.usecases.remains import Remains
from wherry.service.usecases.run_container import Ended, RunContainer
from wherry.service.usecases.undeclared_reads import find_undeclared, tell_hidden
from wherry.service.usecases.whole_calls import whole
from wherry.service.usecases.workspace_contents import (
    at_in_workspace,
    contents_of,
    declared_outputs,
    outputs_at,
)

WORKSPACE_AT = "/workspace"
HOME_AT = "/home/wherry"

# Enough for any build or training, and too few for a fork bomb to harm the machine.
_PIDS_MAX = 4096

# More outputs than this of a stage that failed are not listed.
_LEFT_SHOWN_MAX = 20


class ContainerStageRunner(StageRunner):
    """Runs a stage in a container of its own, in a workspace of its own."""

    def __init__(
        self,
        *,
        run_container: RunContainer,
        workspaces: Workspaces,
        put: PutBlobs,
        secrets: SecretStore,
        clock: Clock,
        user: str,
        labels: dict[str, str],
        remains: Remains,
    ) -> None:
        """Containers run as `user` (uid:gid) and carry `labels` beside those of the attempt."""
        self._run_container = run_container
        self._workspaces = workspaces
        self._put = put
        self._secrets = secrets
        self._clock = clock
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
            outcome = Lost(reason=exc.message, may_pass=not isinstance(exc, DiskFull))
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
        workspace = await whole(
            self._workspaces.create(attempt), partial(self._remains.add_workspace, attempt)
        )
        secrets = await self._reveal_secrets(task)
        contents = contents_of(task)
        mounts = await self._workspaces.lay_out(
            workspace, files=contents.files, data=contents.data, folders=contents.folders
        )
        spec = replace(self._spec(task, attempt, workspace, mounts), secrets=secrets)
        await observer.wrote(LogStream.SYSTEM, list(_opening(task)))
        ended = await self._run_container(spec, attempt, observer, timeout_s=task.settings.timeout_s)
        return await self._outcome(task, workspace, ended, observer)

    async def _resume(self, task: StageTask, leftover: Leftover, observer: StageObserver) -> Outcome:
        contents, attempt = contents_of(task), leftover.attempt
        workspace = await self._workspaces.adopt(
            attempt, files=contents.files, data=contents.data, folders=contents.folders
        )
        self._remains.add_workspace(attempt, workspace)
        await observer.resumed(attempt)
        ended = await self._run_container.resume(
            leftover.container,
            attempt,
            observer,
            workspace=workspace,
            secrets=await self._reveal_secrets(task),
            timeout_s=task.settings.timeout_s,
        )
        return await self._outcome(task, workspace, ended, observer)

    async def _outcome(
        self, task: StageTask, workspace: Path, ended: Ended, observer: StageObserver
    ) -> Outcome:
        if not ended.is_good:
            await tell_hidden(task, observer)
            await self._tell_left(task, workspace, observer)
            return _failed(task, ended)
        await observer.entered(State.RUNNING, Phase.COLLECTING)
        await self._tell_changed(workspace, observer)
        undeclared = await find_undeclared(task, self._workspaces, workspace, at_in_workspace)
        # The command is not run again because the store is away for a while.
        outs = await patiently(lambda: self._keep_outputs(task, workspace, observer), self._clock)
        entry = StageEntry(cmd=task.stage.cmd, deps=task.deps, params=task.params, outs=outs)
        return Succeeded(
            entry=entry,
            cache=CacheUse.MISS,
            wall_s=ended.wall_s,
            usage=ended.usage,
            undeclared=undeclared,
        )

    async def _reveal_secrets(self, task: StageTask) -> Mapping[str, bytes]:
        """The stage's secrets by name.

        Raises:
            SecretMissing: if one was removed since the run was submitted.
        """
        wanted = task.settings.secrets or ()
        found = await self._secrets.reveal(task.project, wanted)
        for name in wanted:
            if name not in found:
                raise SecretMissing(f"the secret {name!r} was removed after the run was submitted")
        return found

    async def _tell_changed(self, workspace: Path, observer: StageObserver) -> None:
        """Say which inputs a stage put something else in place of: that goes with the workspace."""
        changed = await self._workspaces.changed_inputs(workspace)
        lines = [f"changed its input {path!r}: that is not kept, others get it as it was" for path in changed]
        if len(lines) > _LEFT_SHOWN_MAX:
            lines[_LEFT_SHOWN_MAX:] = [f"… and {len(lines) - _LEFT_SHOWN_MAX} more inputs"]
        if lines:
            await observer.wrote(LogStream.SYSTEM, [line.encode() for line in lines])

    async def _tell_left(self, task: StageTask, workspace: Path, observer: StageObserver) -> None:
        """Say what a stage that failed had made of its outputs: it goes with the workspace."""
        left = await self._workspaces.list_left(workspace, outputs_at(task)[:_LEFT_SHOWN_MAX])
        if left:
            await observer.wrote(LogStream.SYSTEM, [_left_text(item).encode() for item in left])

    def _spec(
        self, task: StageTask, attempt: AttemptId, workspace: Path, mounts: Mapping[ProjectPath, Path]
    ) -> ContainerSpec:
        stage, settings = task.stage, task.settings
        return ContainerSpec(
            name=f"wherry-{attempt}",
            image=task.image,
            argv=shell_argv(
                stage.commands, shell=task.settings.shell, takes_secrets=bool(task.settings.secrets)
            ),
            # As DVC sets them (research: running a stage), and what the stage declares.
            environment={
                "DVC_ROOT": _in_container(task.root_at),
                "DVC_STAGE": stage.name,
                **thread_limits(settings.cpus),
                **task.environment,
            },
            workspace=workspace,
            workspace_at=WORKSPACE_AT,
            working_folder=_in_container(at_in_workspace(task, stage.wdir)),
            user=self._user,
            home=HOME_AT,
            network=task.network,
            network_group=task.run_id,
            cpus=settings.cpus,
            memory_bytes=settings.memory_bytes,
            gpus=task.gpus,
            shm_bytes=settings.shm_bytes,
            pids_max=settings.pids or _PIDS_MAX,
            read_only={f"{WORKSPACE_AT}/{path}": folder for path, folder in mounts.items()},
            labels={
                **self._labels,
                **attempt_labels(task, attempt),
            },
        )

    async def _keep_outputs(
        self, task: StageTask, workspace: Path, observer: StageObserver
    ) -> tuple[FileEntry, ...]:
        declared = declared_outputs(task)
        collected = await self._workspaces.collect(
            workspace, outputs_at(task), task.ignore.moved_to(task.root_at)
        )
        for out, output in zip(declared, collected, strict=True):
            if out.kind is OutputKind.METRIC and output.tree is None and not output.files[0].textual:
                raise OutputUnusable(f"binary file {out.path!r} cannot be used as metrics")
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


def _in_container(path: ProjectPath) -> str:
    return WORKSPACE_AT if path == ROOT else f"{WORKSPACE_AT}/{path}"


def _failed(task: StageTask, ended: Ended) -> Failed:
    settings = task.settings
    if ended.over_disk_bytes is not None:
        reason = f"was stopped: it wrote more than {size_text(ended.over_disk_bytes)} to its workspace"
        return Failed(reason=reason, exit_code=ended.exit.code, wall_s=ended.wall_s, usage=ended.usage)
    reason = why_failed(
        ended.exit.code,
        out_of_memory=ended.exit.out_of_memory,
        memory_bytes=settings.memory_bytes,
        timed_out_after_s=settings.timeout_s if ended.timed_out else None,
    )
    if not ended.timed_out:
        reason += which_failed(ended.failed_command, task.stage.commands)
    return Failed(reason=reason, exit_code=ended.exit.code, wall_s=ended.wall_s, usage=ended.usage)


def _left_text(left: LeftOutput) -> str:
    if left.files is None:
        return f"left behind, and not kept: {left.project_path} ({size_text(left.total_bytes)})"
    count = "1 file" if left.files == 1 else f"{left.files} files"
    return f"left behind, and not kept: {left.project_path}/ ({count}, {size_text(left.total_bytes)})"
