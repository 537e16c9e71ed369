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
from typing import TYPE_CHECKING, Self

from wherry.client.address import find_endpoint, user_name
from wherry.client.connection import LONG_S, Connection
from wherry.client.documents import state_word
from wherry.client.errors import NotInProject
from wherry.client.known_names import KnownNames
from wherry.client.progress import Progress, Silent, WarningsOnly
from wherry.client.project import Project, find_project
from wherry.client.selection import RunOptions, Selection
from wherry.client.service_client import ServiceClient
from wherry.client.stage_names import StageNames
from wherry.v1.pipelines_pb2 import (
    AddStageRequest,
    AddStageResponse,
    CompareWithLockRequest,
    CompareWithLockResponse,
    DescribePipelineRequest,
    DescribePipelineResponse,
    ExplainStageRequest,
    ExplainStageResponse,
    Explanation,
    FileRecord,
    LintProjectRequest,
    LintProjectResponse,
    LintReport,
    LockStatus,
    Pipeline,
    Plan,
    PlanRunRequest,
    PlanRunResponse,
    Submission,
)
from wherry.v1.runs_pb2 import (
    ListRunsRequest,
    RetryRunRequest,
    Run,
    SubmitRunRequest,
    SubmitRunResponse,
)
from wherry.v1.secrets_pb2 import (
    DeleteSecretRequest,
    ListSecretsRequest,
    PutSecretRequest,
    SecretRecord,
)

if TYPE_CHECKING:
    from wherry.client.editing import Edited, NewStage
    from wherry.client.results import ApplyReport, PullReport, Results
    from wherry.client.revisions import Revisions
    from wherry.client.submission import Submitter


class Client(ServiceClient):
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
        self._folder = Path(folder)
        self._environ = environ
        self._progress = progress or Silent()
        self._project: Project | None = None
        self._revisions: Revisions | None = None
        connection = Connection(
            lambda: find_endpoint(server, environ, folder=self._folder, profile=profile),
            user=user_name(environ),
        )
        super().__init__(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._revisions is not None:
            self._revisions.close()
        self._connection.close()

    @property
    def project(self) -> Project:
        """The DVC project around the folder.

        Raises:
            NotInProject: if there is none.
        """
        if self._project is None:
            self._project = find_project(self._folder, self._environ)
        return self._project

    def put_secret(self, name: str, value: bytes) -> None:
        """Keep a secret for the project's stages, in place of the one that was called so before."""
        request = PutSecretRequest(project=self.project.name, name=name, value=value)
        self._connection.unary(self._connection.secrets.PutSecret, request)

    def list_secrets(self) -> Sequence[SecretRecord]:
        """Return the project's secrets, by name, without values."""
        request = ListSecretsRequest(project=self.project.name)
        return self._connection.unary(self._connection.secrets.ListSecrets, request).secrets

    def delete_secret(self, name: str) -> None:
        """Remove one of the project's secrets."""
        request = DeleteSecretRequest(project=self.project.name, name=name)
        self._connection.unary(self._connection.secrets.DeleteSecret, request)

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
            yield other

    def describe(
        self, selection: Selection | None = None, *, full: bool = False, outputs: bool = False
    ) -> Pipeline:
        """Resolve the project's pipeline: targets (stages or outputs) and all they depend on.

        With `full` all that is connected with the targets; with `outputs` the graph of outputs too. The flags of
        a selection have no part.
        """

        def call(submission: Submission) -> DescribePipelineResponse:
            request = DescribePipelineRequest(submission=submission, full=full, outputs=outputs)
            return self._connection.unary(self._connection.pipelines.DescribePipeline, request, LONG_S)

        chosen = selection or Selection()
        pipeline = self._submitter().ask(chosen, call).pipeline
        self._keep_names(
            stages=[self._from_root(stage.name) for stage in pipeline.stages if not stage.is_source],
            whole=not chosen.targets,
        )
        return pipeline

    def plan(self, selection: Selection | None = None, *, force: bool = False) -> Plan:
        """Say for each selected stage what a run would do with it now."""

        def call(submission: Submission) -> PlanRunResponse:
            request = PlanRunRequest(submission=submission, force=force)
            return self._connection.unary(self._connection.pipelines.PlanRun, request, LONG_S)

        answer = self._submitter().ask(selection or Selection(), call)
        self._warn(answer.warnings)
        self._keep_names(stages=[stage.name for stage in answer.plan.stages])
        return answer.plan

    def explain(self, stage: str) -> Explanation:
        """Say why a stage of the project as it stands would be computed, or not."""

        def call(submission: Submission) -> ExplainStageResponse:
            request = ExplainStageRequest(submission=submission)
            return self._connection.unary(self._connection.pipelines.ExplainStage, request, LONG_S)

        return self._submitter().ask(Selection(targets=(stage,)), call).explanation

    def lock_status(self, selection: Selection | None = None) -> LockStatus:
        """Compare the project with its dvc.lock files, as `dvc status` does."""

        def call(submission: Submission) -> CompareWithLockResponse:
            request = CompareWithLockRequest(submission=submission)
            return self._connection.unary(self._connection.pipelines.CompareWithLock, request, LONG_S)

        return self._submitter().ask(selection or Selection(), call).status

    def lint(self) -> LintReport:
        """Find all mistakes in the project's files."""

        def call(submission: Submission) -> LintProjectResponse:
            request = LintProjectRequest(submission=submission)
            return self._connection.unary(self._connection.pipelines.LintProject, request, LONG_S)

        return self._submitter().ask(Selection(), call).report

    def add_stage(self, stage: NewStage, *, force: bool = False) -> Edited:
        """Write a stage into the dvc.yaml of the folder; with `force` one of its name is replaced."""
        from wherry.client.editing import prepare_stage, write_added  # noqa: PLC0415

        new = prepare_stage(self.project, stage)

        def call(submission: Submission) -> AddStageResponse:
            request = AddStageRequest(submission=submission, stage=new, force=force)
            return self._connection.unary(self._connection.pipelines.AddStage, request, LONG_S)

        return write_added(self.project, self._submitter().ask(Selection(), call).added)

    def submit(self, selection: Selection | None = None, options: RunOptions | None = None) -> Run:
        """Submit the project as it stands; returns once the run is accepted."""
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
        return answer.run

    def retry(self, run: str, *, from_stages: Sequence[str] = (), name: str = "") -> Run:
        """Submit a run once more; `from_stages` (addresses from the DVC root) run, and all after them."""
        request = RetryRunRequest(
            run=run, idempotency_key=uuid.uuid4().hex, from_stages=from_stages, name=name
        )
        answer = self._connection.unary(self._connection.runs.RetryRun, request, LONG_S)
        self._warn(answer.warnings)
        self._keep_names(runs=[answer.run])
        return answer.run

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self._progress.warn(warning)

    def runs(self, *, project: str = "", limit: int = 50, active_only: bool = False) -> list[Run]:
        """List runs, newest first, without stages; of one project or of all."""
        found: list[Run] = []
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
        return found[:limit]

    def stage_names(self, run: Run | None = None) -> StageNames:
        """How names of stages read in the folder. Outside a project, and of a run of another, from the DVC root."""
        try:
            project = self.project
        except NotInProject:
            return StageNames()
        return StageNames(project.folder if run is None or run.project == project.name else "")

    def apply(self, run: Run, *, force: bool = False, outputs: bool = True) -> ApplyReport:
        """Write a run's dvc.lock, params and (with `outputs`) uncached outputs into the project."""
        return self._results().apply(run, force=force, outputs=outputs)

    def pull(self, outs: Iterable[FileRecord], paths: Sequence[str] = ()) -> PullReport:
        """Bring outputs into the project, verified; `paths` (from the DVC root) select some."""
        return self._results().pull(outs, paths)

    def workspace_outs(self) -> list[FileRecord]:
        """List outputs and sources that are known for the project as it stands, without running anything."""
        plan = self.plan()
        return [*plan.sources, *(out for stage in plan.stages for out in stage.outs)]

    def revisions(self) -> Revisions:
        """Return what reads metrics, params and plots of the workspace, of commits and of runs."""
        if self._revisions is None:
            from wherry.client.revisions import Revisions  # noqa: PLC0415

            self._revisions = Revisions(self.project, self._connection, WarningsOnly(self._progress))
        return self._revisions

    def _keep_names(
        self, *, stages: Sequence[str] = (), runs: Sequence[Run] = (), whole: bool = False
    ) -> None:
        """Keep what may be typed next. Runs of other projects are not."""
        try:
            project = self.project
        except NotInProject:
            return
        names = KnownNames(project.root)
        if stages:
            names.keep_stages(stages, whole=whole)
        names.keep_runs(
            (run.id, run.name, state_word(run.state)) for run in runs if run.project == project.name
        )

    def _from_root(self, name: str) -> str:
        """Turn the name of a stage as seen from the folder into that from the DVC root."""
        return StageNames(self.project.folder).from_root(name)

    def _submitter(self) -> Submitter:
        from wherry.client.submission import Submitter  # noqa: PLC0415

        return Submitter(self.project, self._connection, self._progress)

    def _results(self) -> Results:
        from wherry.client.results import Results  # noqa: PLC0415

        return Results(self.project, self._connection, self._progress)
