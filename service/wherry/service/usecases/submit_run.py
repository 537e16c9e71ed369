"""Accept a submission as a run, once, and set it going."""

from dataclasses import dataclass, replace
from difflib import get_close_matches

from wherry.service.domain.dvc.graph import active_downstream, reachable
from wherry.service.domain.dvc.stage import StageName
from wherry.service.domain.errors import StageUnknown
from wherry.service.domain.images.image import warnings_of
from wherry.service.domain.run import NewRun, Run
from wherry.service.domain.submission import Needs, RunOptions, Submission
from wherry.service.ports.clock import Clock
from wherry.service.ports.runs import RunStore
from wherry.service.usecases.drive_run import DriveRun
from wherry.service.usecases.keep_secrets import CheckSecrets
from wherry.service.usecases.keep_snapshot import KeepSnapshot
from wherry.service.usecases.note_use import NoteUse
from wherry.service.usecases.open_project import OpenProject
from wherry.service.usecases.read_project import Project, find_unlooked


@dataclass(frozen=True, slots=True)
class Accepted:
    """The submission is a run now, or was one already."""

    run: Run
    warnings: tuple[str, ...] = ()
    """What whoever submits should know."""


class SubmitRun:
    """Everything that can be wrong with a submission is said here, before anything runs."""

    def __init__(
        self,
        *,
        open_project: OpenProject,
        check_secrets: CheckSecrets,
        runs: RunStore,
        drive: DriveRun,
        clock: Clock,
        note_use: NoteUse,
        snapshots: KeepSnapshot,
    ) -> None:
        """Open projects, keep them and runs, and give them to the driver."""
        self._snapshots = snapshots
        self._note_use = note_use
        self._open_project = open_project
        self._check_secrets = check_secrets
        self._runs = runs
        self._drive = drive
        self._clock = clock

    async def __call__(
        self, submission: Submission, options: RunOptions, *, idempotency_key: str, content: bytes = b""
    ) -> Accepted | Needs:
        """Return the run, or what is needed before there can be one. Safe to repeat.

        `content` is the submission as it came, from which it can be read again.
        """
        arrivals, key = self._drive.arrivals, f"{submission.user} {idempotency_key}"
        with arrivals.arriving(key):
            answer = await self._accept(submission, options, idempotency_key, content)
            if isinstance(answer, Needs):
                arrivals.expect(key)
            return answer

    async def _accept(
        self, submission: Submission, options: RunOptions, idempotency_key: str, content: bytes
    ) -> Accepted | Needs:
        state = await self._open_project(submission, upload=True)
        if isinstance(state, Needs):
            return state
        await self._check_secrets(state.project)
        snapshot = await self._snapshots.keep(state)
        options = with_forced(state.project, options)
        run, is_new = await self._runs.create(
            NewRun(
                idempotency_key=idempotency_key,
                name=options.name,
                project=submission.project,
                user=submission.user,
                rev=submission.rev,
                dirty=submission.dirty,
                message=options.message,
                created_at=self._clock.now(),
                stages=tuple(stage.name for stage in state.project.stages),
                snapshot=snapshot.hash,
                labels=options.labels,
                priority=options.priority,
                content=content,
                images=state.named,
            )
        )
        if is_new:
            self._note_use(file.hash for file in state.project.snapshot.files.values())
            self._note_use((snapshot.hash,))
            self._note_use(data.hash for data in state.placed.values())
            self._drive.start(run, state, options)
        return Accepted(run, (*find_unlooked(state.project), *warnings_of(state.images.values())))


def with_forced(project: Project, options: RunOptions) -> RunOptions:
    """Find the stages from which on everything runs, with all that depend on them.

    Raises:
        StageUnknown: if the run has no such stage.
    """
    if not options.from_stages:
        return options
    known = {stage.name for stage in project.stages}
    starts = [StageName(name) for name in options.from_stages]
    for name in starts:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise StageUnknown(
                f"the run has no stage {name!r}", hint=f"Did you mean {near[0]!r}?" if near else ""
            )
    downstream = active_downstream(project.pipeline)
    return replace(options, forced=frozenset(reachable(starts, lambda name: downstream.get(name, ()))))
