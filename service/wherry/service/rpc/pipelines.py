"""PipelineService, translated to use cases."""

from wherry.service.domain.submission import Needs
from wherry.service.rpc.caller import user_of
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import needs_to, submission_from
from wherry.service.rpc.convert_pipelines import pipeline_to, plan_to
from wherry.service.usecases.describe_pipeline import DescribePipeline
from wherry.service.usecases.plan_run import PlanRun
from wherry.v1 import pipelines_pb2, pipelines_pb2_grpc


class PipelineServicer(pipelines_pb2_grpc.PipelineServiceServicer):
    """Reads pipelines without running them."""

    def __init__(self, *, describe: DescribePipeline, plan: PlanRun) -> None:
        """Answer through these two."""
        self._describe = describe
        self._plan = plan

    async def DescribePipeline(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.DescribePipelineRequest, context: Context
    ) -> pipelines_pb2.DescribePipelineResponse:
        """Resolve a pipeline."""
        answer = await self._describe(submission_from(request.submission, user_of(context)))
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
        return pipelines_pb2.PlanRunResponse(plan=plan_to(answer))
