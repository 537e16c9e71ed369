"""Drive runs to their end: start every stage whose inputs are ready, record how each ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from wherry.service.domain.dvc.addresses import address_from
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.endings import duration_text
from wherry.service.domain.errors import Unavailable, WherryError
from wherry.service.domain.run import Run, RunError, WriteBack
from wherry.service.domain.states import State, run_state_from
from wherry.service.domain.submission import RunOptions
from wherry.service.domain.task import RunId
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.logs import LogStore
from wherry.service.ports.runs import RunStore
from wherry.service.ports.stages import StageRunner
from wherry.service.usecases.arrivals import Arrivals
from wherry.service.usecases.attempt_stage import GoingRun
from wherry.service.usecases.keep_succeeded import KeepSucceeded
from wherry.service.usecases.patience import patiently, until_kept
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.resolve_stage import ProjectState
from wherry.service.usecases.restore_inputs import RestoreInputs
from wherry.service.usecases.run_progress import RunProgress
from wherry.service.usecases.write_backs import WriteBacks

_CANCELLED = RunError(reason="CANCELLED", message="the run was stopped on request")
_BUG = RunError(
    reason="INTERNAL",
    message="Wherry failed: this is a bug of the service",
    hint="The service's log has the details: wherry service logs.",
)
_TIMEOUT = "TIMEOUT"
# Somebody wanted that the run ends.
_ON_PURPOSE = frozenset({_CANCELLED.reason, _TIMEOUT})


def _timed_out(options: RunOptions) -> RunError:
    return RunError(
        reason=_TIMEOUT,
        message=f"the run was stopped after its timeout of {duration_text(options.timeout_s or 0)}",
        hint="Submit again, with more time: stages that had finished are not run again.",
    )


# How long the parts of the service are waited for before a run that was going on is given up: about ten minutes.
_REOPEN_AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, *(30.0 for _ in range(19)))

# How long a service that is about to end waits for a database that does not answer.
_SETTLE_S = 5.0

_Opened = Callable[[], Awaitable[tuple[ProjectState, RunOptions]]]


class RunnerMaker(Protocol):
    """Makes runs their runners."""

    def for_run(self, run: Run, project: Project, options: RunOptions) -> StageRunner:
        """Make the runner for a run's stages."""
        ...

    async def cleared(self, run_id: RunId) -> None:
        """Return when nothing is left on the machine of the run's stages."""
        ...


class DriveRun:
    """Owns the runs that are going on in this process."""

    def __init__(  # noqa: PLR0913 - every part has its name
        self,
        *,
        take_known: Callable[[GoingRun, Sequence[Stage]], Awaitable[Sequence[Stage]]],
        attempt: RestoreInputs,
        runners: RunnerMaker,
        runs: RunStore,
        keep_succeeded: KeepSucceeded,
        reopen: Callable[[Run], Awaitable[tuple[ProjectState, RunOptions]]],
        write_backs: WriteBacks,
        logs: LogStore,
        clock: Clock,
        log: EventLog,
    ) -> None:
        """Give `take_known` the stages that can go, and have `runners` make each run one for those that it leaves.

        Runs are kept in `runs`, from which they may be reopened.
        """
        self._keep_succeeded = keep_succeeded
        self._reopen = reopen
        self._runners = runners
        self._take_known = take_known
        self._attempt = attempt
        self._runs = runs
        self._write_backs = write_backs
        self._logs = logs
        self._clock = clock
        self._log = log
        self._going: dict[RunId, asyncio.Task[None]] = {}
        self._is_closing = False
        self.arrivals = Arrivals()
        """Those who submit: a new run begins when they have their answers."""

    def start(self, run: Run, state: ProjectState, options: RunOptions) -> None:
        """Set a new run going; returns at once."""

        async def opened() -> tuple[ProjectState, RunOptions]:
            await self.arrivals.answered()
            return state, options

        _ = self._go(run, opened)

    def resume(self, run: Run) -> asyncio.Task[None]:
        """Go on with a run of an earlier life of the service; returns at once, with what ends when the run does."""
        return self._go(run, lambda: self._reopen_patiently(run))

    def cancel(self, run_id: RunId) -> bool:
        """Ask a run to stop; False when it is not going on here."""
        task = self._going.get(run_id)
        return task is not None and task.cancel()

    async def close(self) -> None:
        """Leave all runs as they are: the next life of the service goes on with them."""
        self._is_closing = True
        tasks = list(self._going.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _go(self, run: Run, opened: _Opened) -> asyncio.Task[None]:
        task = asyncio.create_task(self._drive(run, opened), name=f"run {run.id}")
        self._going[run.id] = task
        task.add_done_callback(lambda _: self._going.pop(run.id, None))
        return task

    async def _reopen_patiently(self, run: Run) -> tuple[ProjectState, RunOptions]:
        """Wait for parts that do not answer yet: when a machine comes up the service may be the first."""
        for wait_s in _REOPEN_AGAIN_S:
            try:
                return await self._reopen(run)
            except Unavailable as exc:
                self._log.warning("run cannot be gone on with yet", run_id=run.id, reason=exc.message)
                await self._clock.sleep(wait_s)
        return await self._reopen(run)

    async def _drive(self, run: Run, opened: _Opened) -> None:
        state: ProjectState | None = None

        def address_of(name: StageName) -> str:
            if state is None:
                return name
            project = state.project
            return address_from(project.pipeline, name, project.submission.working_folder)

        progress = RunProgress(
            run_id=run.id,
            runs=self._runs,
            clock=self._clock,
            stages=run.stages,
            address_of=address_of,
            logs=self._logs,
        )
        run = replace(run, state=State.RUNNING, started_at=run.started_at or self._clock.now())
        error: RunError | None = None
        try:
            await until_kept(lambda: self._runs.save_run(run), self._clock)
            state, options = await opened()
            going = GoingRun(
                run=run,
                state=state,
                options=options,
                progress=progress,
                runner=self._runners.for_run(run, state.project, options),
            )
            await self._keep_succeeded(going)
            if run.stop_requested:
                error = _CANCELLED
            elif not await self._go_through_within(going, self._time_left(run, options)):
                error = _timed_out(options)
        except asyncio.CancelledError:
            if self._is_closing:
                await self._settle_at_close(progress)
                return
            error = _CANCELLED
        except WherryError as exc:
            error = RunError(reason=exc.reason, message=exc.message, hint=exc.hint)
        except Exception:  # noqa: BLE001 - one broken run must not stop the others; told and recorded
            self._log.exception("run failed unexpectedly", run_id=run.id)
            error = _BUG
        # The end is recorded even while this task is being cancelled a second time.
        await asyncio.shield(self._finish(run, state, progress, error))

    async def _settle_at_close(self, progress: RunProgress) -> None:
        """Keep what was noted, unless the database is away: the next life of the service finds it out again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await progress.settle()

    async def _go_through_within(self, going: GoingRun, timeout_s: float | None) -> bool:
        """Go through the run's stages; False when time was up before their end, and they were stopped."""
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                await self._go_through(going)
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        return True

    def _time_left(self, run: Run, options: RunOptions) -> float | None:
        """How long the run may still go on; None: as long as it takes."""
        if options.timeout_s is None or run.started_at is None:
            return options.timeout_s
        return max(0.0, options.timeout_s - (self._clock.now() - run.started_at).total_seconds())

    async def _go_through(self, going: GoingRun) -> None:
        """Keep every stage going that can go; return when nothing more can."""
        pipeline = going.state.project.pipeline
        stages = going.progress.stages
        unfinished = [stage for stage in going.state.project.stages if not stages[stage.name].state.is_final]
        waiting = going.progress.let_wait(unfinished, pipeline)
        started: set[asyncio.Task[list[Stage]]] = set()
        # Not asyncio.wait: that looks at all that goes on whenever one ends.
        ended: asyncio.Queue[asyncio.Task[list[Stage]]] = asyncio.Queue()
        try:
            while True:
                while ready := going.progress.take_ready(waiting, going.options):
                    for stage in await self._take_known(going, ready):
                        call = self._attempt(going, stage)
                        task = asyncio.create_task(call, name=f"run {going.run.id} stage {stage.name}")
                        started.add(task)
                        task.add_done_callback(ended.put_nowait)
                if not started:
                    break
                task = await ended.get()
                started.discard(task)
                for stage in task.result():
                    waiting.add(stage)
        finally:
            for task in started:
                task.cancel()
            await asyncio.gather(*started, return_exceptions=True)
        await going.progress.skip_rest(waiting, pipeline)

    async def _finish(
        self, run: Run, state: ProjectState | None, progress: RunProgress, error: RunError | None
    ) -> None:
        """Record the end. `error` says what ended the run from outside, if anything did; `state` where it came to."""
        if error is not None:
            stopped = State.CANCELLED if error.reason in _ON_PURPOSE else State.LOST
            await progress.stop_rest(stopped, error.message)
        await progress.settle()
        final = run_state_from(stage.state for stage in progress.stages.values())
        write_backs: tuple[WriteBack, ...] = ()
        try:
            if state is not None:
                write_backs = await patiently(
                    partial(self._write_backs, state.project, progress.entries, state.legacy, state.placed),
                    self._clock,
                )
        except Unavailable as exc:
            error = RunError(reason=exc.reason, message=exc.message, hint=exc.hint)
        except Exception:  # noqa: BLE001 - a run must end even when its lock cannot be written; told
            self._log.exception("write-backs could not be made", run_id=run.id)
            error = _BUG
        if error is not None and error.reason not in _ON_PURPOSE:
            final = State.LOST
        elif error is not None and error.reason == _TIMEOUT and final != State.SUCCEEDED:
            final = State.FAILED
        ended = replace(
            run,
            state=final,
            finished_at=self._clock.now(),
            compute_s=progress.compute_s,
            saved_s=progress.saved_s,
            write_backs=write_backs,
            # A stop that came after the last stage changed nothing.
            error=None if final == State.SUCCEEDED else error or progress.error(run),
        )
        await self._runners.cleared(run.id)
        await until_kept(lambda: self._runs.save_run(ended), self._clock)
