"""What the SDK asks about one project: its pipeline, what a run would do and why, its mistakes, its secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.client.answers import Status, Why
from wherry.client.connection import LONG_S, Connection
from wherry.client.documents import state_word
from wherry.client.errors import NotInProject
from wherry.client.known_names import KnownNames
from wherry.client.progress import Progress
from wherry.client.project import Project, find_project
from wherry.client.selection import Selection
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
    LintProjectRequest,
    LintProjectResponse,
    LintReport,
    LockStatus,
    Pipeline,
    PlanRunRequest,
    PlanRunResponse,
    RunStage,
    Submission,
)
from wherry.v1.runs_pb2 import GetRunRequest, Run
from wherry.v1.secrets_pb2 import (
    DeleteSecretRequest,
    ListSecretsRequest,
    PutSecretRequest,
    SecretRecord,
)

if TYPE_CHECKING:
    from wherry.client.editing import Edited, NewStage
    from wherry.client.submission import Submitter


class ProjectClient(ServiceClient):
    """Talks to one service about the project around one folder. Every method raises ClientError."""

    def __init__(
        self, connection: Connection, *, folder: Path, environ: Mapping[str, str], progress: Progress
    ) -> None:
        """Take the connection, the folder, and who hears of progress."""
        super().__init__(connection)
        self._folder = folder
        self._environ = environ
        self._progress = progress
        self._project: Project | None = None

    @property
    def project(self) -> Project:
        """The DVC project around the folder.

        Raises:
            NotInProject: if there is none.
        """
        if self._project is None:
            self._project = find_project(self._folder, self._environ)
        return self._project

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

    def status(self, selection: Selection | None = None, *, force: bool = False) -> Status:
        """Say for each selected stage what a run would do with it now."""

        def call(submission: Submission) -> PlanRunResponse:
            request = PlanRunRequest(submission=submission, force=force)
            return self._connection.unary(self._connection.pipelines.PlanRun, request, LONG_S)

        answer = self._submitter().ask(selection or Selection(), call)
        self._warn(answer.warnings)
        self._keep_names(stages=[stage.name for stage in answer.plan.stages])
        return Status(answer.plan)

    def why(self, stage: str, *, run: str = "") -> Why:
        """Say why a stage would be computed or not: of the project as it stands, or what was decided in a run.

        The stage is named as seen from the folder; of a run of another project from the DVC root.
        """
        if run:
            record = self._run_record(run)
            name = self.stage_names(record).find(stage, {known.name for known in record.stages})
            request = ExplainStageRequest(run_stage=RunStage(run=record.id, stage=name))
            answer = self._connection.unary(self._connection.pipelines.ExplainStage, request)
            return Why(answer.explanation)

        def call(submission: Submission) -> ExplainStageResponse:
            request = ExplainStageRequest(submission=submission)
            return self._connection.unary(self._connection.pipelines.ExplainStage, request, LONG_S)

        return Why(self._submitter().ask(Selection(targets=(stage,)), call).explanation)

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

    def stage_names(self, run: Run | None = None) -> StageNames:
        """How names of stages read in the folder. Outside a project, and of a run of another, from the DVC root."""
        try:
            project = self.project
        except NotInProject:
            return StageNames()
        return StageNames(project.folder if run is None or run.project == project.name else "")

    def _run_record(self, run: str) -> Run:
        return self._connection.unary(self._connection.runs.GetRun, GetRunRequest(run=run)).run

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self._progress.warn(warning)

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
