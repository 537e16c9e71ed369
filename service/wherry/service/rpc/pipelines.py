"""PipelineService, translated to use cases."""

from wherry.service.domain.limits import SET_PARAMS_MAX
from wherry.service.domain.submission import Needs
from wherry.service.ports.param_composer import ParamComposer
from wherry.service.rpc.caller import user_of
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import expect_at_most, needs_to, submission_from
from wherry.service.rpc.convert_editing import added_stage_to, lint_report_to, new_stage_from
from wherry.service.rpc.convert_explanations import explanation_to, lock_status_to, run_stage_from
from wherry.service.rpc.convert_pipelines import pipeline_to, plan_to
from wherry.service.usecases.add_stage import AddStage
from wherry.service.usecases.compare_with_lock import CompareWithLock
from wherry.service.usecases.describe_pipeline import DescribePipeline
from wherry.service.usecases.explain_stage import ExplainStage
from wherry.service.usecases.lint_project import LintProject
from wherry.service.usecases.plan_run import PlanRun
from wherry.v1 import pipelines_pb2, pipelines_pb2_grpc


class PipelineServicer(pipelines_pb2_grpc.PipelineServiceServicer):
    """Reads pipelines without running them."""

    def __init__(
        self,
        *,
        describe: DescribePipeline,
        plan: PlanRun,
        explain: ExplainStage,
        compare: CompareWithLock,
        add_stage: AddStage,
        lint: LintProject,
        composer: ParamComposer,
    ) -> None:
        """Answer through these."""
        self._describe = describe
        self._plan = plan
        self._explain = explain
        self._compare = compare
        self._add_stage = add_stage
        self._lint = lint
        self._composer = composer

    async def DescribePipeline(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.DescribePipelineRequest, context: Context
    ) -> pipelines_pb2.DescribePipelineResponse:
        """Resolve a pipeline."""
        submission = submission_from(request.submission, user_of(context))
        answer = await self._describe(submission, full=request.full, outputs=request.outputs)
        if isinstance(answer, Needs):
            return pipelines_pb2.DescribePipelineResponse(needs=needs_to(answer))
        return pipelines_pb2.DescribePipelineResponse(pipeline=pipeline_to(answer))

    async def PlanRun(  # noqa: N802
        self, request: pipelines_pb2.PlanRunRequest, context: Context
    ) -> pipelines_pb2.PlanRunResponse:
        """Say what a run would do."""
        answer = await self._plan(submission_from(request.submission, user_of(context)), force=request.force)
        if isinstance(answer, Needs):
            return pipelines_pb2.PlanRunResponse(needs=needs_to(answer))
        return pipelines_pb2.PlanRunResponse(plan=plan_to(answer), warnings=answer.warnings)

    async def ExplainStage(  # noqa: N802
        self, request: pipelines_pb2.ExplainStageRequest, context: Context
    ) -> pipelines_pb2.ExplainStageResponse:
        """Say why a stage is, or was, computed or not."""
        if request.WhichOneof("subject") == "run_stage":
            explained = await self._explain.of_run(*run_stage_from(request.run_stage))
            return pipelines_pb2.ExplainStageResponse(explanation=explanation_to(explained))
        answer = await self._explain.now(submission_from(request.submission, user_of(context)))
        if isinstance(answer, Needs):
            return pipelines_pb2.ExplainStageResponse(needs=needs_to(answer))
        return pipelines_pb2.ExplainStageResponse(explanation=explanation_to(answer))

    async def CompareWithLock(  # noqa: N802
        self, request: pipelines_pb2.CompareWithLockRequest, context: Context
    ) -> pipelines_pb2.CompareWithLockResponse:
        """Say how a project differs from its locks."""
        submission = submission_from(request.submission, user_of(context))
        answer = await self._compare(submission)
        if isinstance(answer, Needs):
            return pipelines_pb2.CompareWithLockResponse(needs=needs_to(answer))
        return pipelines_pb2.CompareWithLockResponse(status=lock_status_to(answer, submission.working_folder))

    async def AddStage(  # noqa: N802
        self, request: pipelines_pb2.AddStageRequest, context: Context
    ) -> pipelines_pb2.AddStageResponse:
        """Put a stage into a dvc.yaml."""
        submission = submission_from(request.submission, user_of(context))
        answer = await self._add_stage(submission, new_stage_from(request.stage), force=request.force)
        if isinstance(answer, Needs):
            return pipelines_pb2.AddStageResponse(needs=needs_to(answer))
        return pipelines_pb2.AddStageResponse(added=added_stage_to(answer))

    async def LintProject(  # noqa: N802
        self, request: pipelines_pb2.LintProjectRequest, context: Context
    ) -> pipelines_pb2.LintProjectResponse:
        """Find the mistakes of a project."""
        answer = await self._lint(submission_from(request.submission, user_of(context)))
        if isinstance(answer, Needs):
            return pipelines_pb2.LintProjectResponse(needs=needs_to(answer))
        return pipelines_pb2.LintProjectResponse(report=lint_report_to(answer))

    async def ExpandSweep(  # noqa: N802
        self, request: pipelines_pb2.ExpandSweepRequest, context: Context
    ) -> pipelines_pb2.ExpandSweepResponse:
        """Make the runs of a sweep."""
        expect_at_most(len(request.set_params), SET_PARAMS_MAX, "parameter changes")
        combinations = await self._composer.expand(request.set_params)
        return pipelines_pb2.ExpandSweepResponse(
            combinations=[pipelines_pb2.ParamChanges(set_params=changes) for changes in combinations]
        )
