"""ResultService, translated to use cases."""

from wherry.service.domain.submission import Needs
from wherry.service.ports.runs import RunStore
from wherry.service.rpc.caller import user_of
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import needs_to, submission_from
from wherry.service.rpc.convert_results import query_from, results_to, run_name_from, snapshot_files_to
from wherry.service.usecases.keep_snapshot import KeepSnapshot
from wherry.service.usecases.read_results import ReadResults
from wherry.service.usecases.read_run_results import ReadRunResults
from wherry.v1 import results_pb2, results_pb2_grpc


class ResultServicer(results_pb2_grpc.ResultServiceServicer):
    """Reads results without running anything."""

    def __init__(
        self, *, results: ReadResults, of_run: ReadRunResults, snapshots: KeepSnapshot, runs: RunStore
    ) -> None:
        """Answer through these."""
        self._results = results
        self._of_run = of_run
        self._snapshots = snapshots
        self._runs = runs

    async def ReadResults(  # noqa: N802 - named by the protocol
        self, request: results_pb2.ReadResultsRequest, context: Context
    ) -> results_pb2.ReadResultsResponse:
        """Read the results of a revision."""
        query = query_from(request)
        if request.WhichOneof("subject") == "run":
            results = await self._of_run(run_name_from(request.run), query)
            return results_pb2.ReadResultsResponse(results=results_to(results, query.folder))
        submission = submission_from(request.submission, user_of(context))
        answer = await self._results(submission.snapshot, query)
        if isinstance(answer, Needs):
            return results_pb2.ReadResultsResponse(needs=needs_to(answer))
        return results_pb2.ReadResultsResponse(results=results_to(answer, query.folder))

    async def GetRunSnapshot(  # noqa: N802
        self, request: results_pb2.GetRunSnapshotRequest, context: Context
    ) -> results_pb2.GetRunSnapshotResponse:
        """Return the project of a run."""
        run = await self._runs.get(run_name_from(request.run))
        snapshot = await self._snapshots.of(run)
        return results_pb2.GetRunSnapshotResponse(files=snapshot_files_to(snapshot), rev=run.rev, run=run.id)
