"""The SDK: everything the command line can do, as methods. It prints nothing and never exits.

What only some methods need is loaded by them: `wherry ps` neither scans folders nor moves content.
"""

from __future__ import annotations

import contextlib
import copy
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from wherry.client.address import find_endpoint, user_name
from wherry.client.answers import Caller
from wherry.client.configuration import find_setting
from wherry.client.connection import LONG_S, Connection
from wherry.client.errors import Refused
from wherry.client.progress import Progress, Silent, WarningsOnly
from wherry.client.project import find_project
from wherry.client.project_client import ProjectClient
from wherry.client.run import Pulled, Run
from wherry.client.selection import RunOptions, Selection
from wherry.v1.pipelines_pb2 import FileRecord, Submission
from wherry.v1.runs_pb2 import (
    CancelRunRequest,
    ListRunsRequest,
    RetryRunRequest,
    SubmitRunRequest,
    SubmitRunResponse,
)
from wherry.v1.runs_pb2 import Run as RunRecord

if TYPE_CHECKING:
    from wherry.client.cancelling import Scope
    from wherry.client.results import ApplyReport, PullReport, Results
    from wherry.client.revisions import Revisions


class Client(ProjectClient):
    """Talks to one service, for the project around one folder.

    Every method raises ClientError for what can go wrong. Runs are named by id or name.
    """

    def __init__(
        self,
        *,
        server: str | None = None,
        profile: str | None = None,
        folder: str | os.PathLike[str] = ".",
        environ: Mapping[str, str] = os.environ,
        progress: Progress | None = None,
    ) -> None:
        """Connect to `server`, or what environment, project and profile say, or this machine's embedded service.

        Raises:
            Unreachable: if there is none of them.
            BadConfiguration: if the address is wrong.
        """
        here = Path(folder)
        connection = Connection(
            lambda: find_endpoint(server, environ, folder=here, profile=profile),
            user=user_name(environ),
        )
        super().__init__(connection, folder=here, environ=environ, progress=progress or Silent())
        self._server = server
        self._profile = profile
        self._revisions: Revisions | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._close_revisions()
        self._connection.close()

    @property
    def connection(self) -> Connection:
        """What calls go through."""
        return self._connection

    def within(self, scope: Scope) -> Client:
        """Return a client for one question that can be broken off; it shares the connection of this one."""
        from wherry.client.cancelling import ScopedConnection, ScopedProgress  # noqa: PLC0415

        other = copy.copy(self)
        other._connection = ScopedConnection(self._connection, scope)  # noqa: SLF001 - its own kind
        other._progress = ScopedProgress(self._progress, scope)  # noqa: SLF001
        other._revisions = None  # noqa: SLF001
        return other

    def whoami(self) -> Caller:
        """Say which service is used, who says so, and as whom; the service is asked."""
        endpoint = self._connection.endpoint
        named = find_setting(
            "server", self._folder, self._environ, server=self._server, profile=self._profile
        )
        info = self.info()
        seen = info.caller if info.HasField("caller") else None
        return Caller(
            user=seen.user if seen is not None else user_name(self._environ),
            server=f"{'grpcs' if endpoint.secure else 'grpc'}://{endpoint.target}",
            origin=named.origin if named is not None else "the embedded service of this machine",
            node=info.node,
            version=info.version,
            has_token=bool(endpoint.token),
            token=(seen.token or None) if seen is not None else None,
            is_owner=seen.is_owner if seen is not None else None,
            token_expires_at=seen.expires_at.ToJsonString()
            if seen is not None and seen.HasField("expires_at")
            else None,
        )

    @contextlib.contextmanager
    def at_rev(self, rev: str) -> Iterator[Client]:
        """Give a client for a commit of the project, checked out elsewhere as long as it is used; "" is the folder.

        Raises:
            Refused: if the project is not in a git repository.
            Unknown: if there is no such commit.
        """
        if not rev:
            yield self
            return
        from wherry.client.checkout import checked_out  # noqa: PLC0415

        with checked_out(self.project, rev) as folder:
            other = copy.copy(self)
            other._folder = folder  # noqa: SLF001 - its own kind
            other._project = replace(find_project(folder, self._environ), name=self.project.name)  # noqa: SLF001
            other._revisions = None  # noqa: SLF001
            try:
                yield other
            finally:
                other._close_revisions()  # noqa: SLF001

    def repro(
        self,
        *targets: str,
        selection: Selection | None = None,
        options: RunOptions | None = None,
        pull: Pulled = "metrics",
        timeout: float | None = None,
    ) -> Run:
        """Do as `wherry repro`: submit, wait `timeout` seconds at most, bring back results. The run may have failed.

        `targets` are added to those of the selection.

        Raises:
            TimeLimitPassed: when the time is over; the run goes on.
        """
        run = self.submit(with_targets(selection, targets), options).wait(timeout)
        run.bring_back(pull)
        return run

    def submit(
        self, selection: Selection | None = None, options: RunOptions | None = None, *, rev: str = ""
    ) -> Run:
        """Submit the project as it stands, or a commit of it; returns once the run is accepted."""
        if rev:
            with self.at_rev(rev) as source:
                return Run(self, source.submit(selection, options).record)
        chosen = options or RunOptions()
        key = uuid.uuid4().hex

        def call(submission: Submission) -> SubmitRunResponse:
            request = SubmitRunRequest(
                idempotency_key=key,
                submission=submission,
                name=chosen.name,
                message=chosen.message,
                force=chosen.force,
                no_run_cache=chosen.no_run_cache,
                keep_going=chosen.keep_going,
                jobs=chosen.jobs,
                priority=chosen.priority,
                labels=chosen.labels,
                timeout_s=chosen.run_timeout_s or 0.0,
            )
            return self._connection.unary(self._connection.runs.SubmitRun, request, LONG_S)

        answer = self._submitter().ask(selection or Selection(), call)
        self._warn(answer.warnings)
        self._keep_names(stages=[stage.name for stage in answer.run.stages], runs=[answer.run])
        return Run(self, answer.run)

    def sweep(self, selection: Selection, options: RunOptions | None = None) -> list[Run]:
        """Submit a run for each combination of the values of `set_params`, as `wherry exp run --queue` does.

        Values may be lr=0.1,0.2, lr=range(0,1,0.25) or lr=choice(0.1,0.2); the first sweep varies slowest. With a name
        the runs are NAME-1, NAME-2 …
        """
        chosen = options or RunOptions()
        return [
            self.submit(
                replace(selection, set_params=set_params, composition="always"),
                replace(chosen, name=f"{chosen.name}-{number}" if chosen.name else ""),
            )
            for number, set_params in enumerate(self.expand_sweep(selection.set_params), 1)
        ]

    def retry(self, run: str, *, from_stages: Sequence[str] = (), name: str = "") -> Run:
        """Submit a run once more; `from_stages` (addresses from the DVC root) run, and all after them."""
        request = RetryRunRequest(
            run=run, idempotency_key=uuid.uuid4().hex, from_stages=from_stages, name=name
        )
        answer = self._connection.unary(self._connection.runs.RetryRun, request, LONG_S)
        self._warn(answer.warnings)
        self._keep_names(runs=[answer.run])
        return Run(self, answer.run)

    def run(self, run: str) -> Run:
        """Return a run with its stages."""
        return Run(self, self._run_record(run))

    def stop(self, run: str) -> Run:
        """Ask that a run be stopped; returns it as it was then."""
        answer = self._connection.unary(self._connection.runs.CancelRun, CancelRunRequest(run=run))
        return Run(self, answer.run)

    def runs(self, *, project: str = "", limit: int = 50, active_only: bool = False) -> list[Run]:
        """List runs, newest first, without stages; of one project or of all."""
        found: list[RunRecord] = []
        token = ""
        while len(found) < limit:
            request = ListRunsRequest(
                project=project,
                page_size=min(500, limit - len(found)),
                page_token=token,
                active_only=active_only,
            )
            page = self._connection.unary(self._connection.runs.ListRuns, request)
            found.extend(page.runs)
            token = page.next_page_token
            if not token:
                break
        self._keep_names(runs=found)
        return [Run(self, record) for record in found[:limit]]

    def run_results(self, run: str, kind: Literal["metrics", "params"]) -> dict[str, Any]:
        """Return the values of a run's metrics or parameters, by path from the DVC root."""
        from wherry.client.revisions import read_run  # noqa: PLC0415

        return read_run(self._connection, run, kind)

    def apply(self, run: Run, *, force: bool = False, outputs: bool = True) -> ApplyReport:
        """Write a run's dvc.lock, params and (with `outputs`) uncached outputs into the project.

        Raises:
            Refused: if the run has not ended.
        """
        if not run.has_ended:
            raise Refused(
                f"run {run.id} has not ended",
                hint=f"`wherry wait {run.id}` waits for it",
                reason="RUN_ACTIVE",
            )
        return self._results().apply(run.record, force=force, outputs=outputs)

    def pull(self, outs: Iterable[FileRecord], paths: Sequence[str] = ()) -> PullReport:
        """Bring outputs into the project, verified; `paths` (from the DVC root) select some."""
        return self._results().pull(outs, paths)

    def workspace_outs(self) -> list[FileRecord]:
        """List outputs and sources that are known for the project as it stands, without running anything."""
        plan = self.status().record
        return [*plan.sources, *(out for stage in plan.stages for out in stage.outs)]

    def revisions(self) -> Revisions:
        """Return what reads metrics, params and plots of the workspace, of commits and of runs."""
        if self._revisions is None:
            from wherry.client.revisions import Revisions  # noqa: PLC0415

            self._revisions = Revisions(self.project, self._connection, WarningsOnly(self._progress))
        return self._revisions

    def _close_revisions(self) -> None:
        if self._revisions is not None:
            self._revisions.close()

    def _results(self) -> Results:
        from wherry.client.results import Results  # noqa: PLC0415

        return Results(self.project, self._connection, self._progress)


def with_targets(selection: Selection | None, targets: Sequence[str]) -> Selection:
    """Add targets to those of a selection."""
    chosen = selection or Selection()
    return replace(chosen, targets=(*chosen.targets, *targets))
