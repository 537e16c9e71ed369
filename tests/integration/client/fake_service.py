"""The service's side of the protocol, on a real socket, with content in memory and a script for its runs."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from wherry.v1 import (
    blobs_pb2,
    blobs_pb2_grpc,
    pipelines_pb2,
    pipelines_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
    system_pb2,
    system_pb2_grpc,
)

_CHUNK = 700_000
# Events in a batch.
_TOGETHER = 2


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def digest_of(content: bytes, suffix: str = "") -> blobs_pb2.BlobDigest:
    return blobs_pb2.BlobDigest(hash=md5_of(content) + suffix, size_bytes=len(content))


def abort(context: grpc.ServicerContext, code: int, reason: str, message: str, **metadata: str) -> None:
    info = error_details_pb2.ErrorInfo(reason=reason, domain="wherry", metadata=metadata)
    status = status_pb2.Status(code=code, message=message)
    status.details.add().Pack(info)
    context.abort_with_status(rpc_status.to_status(status))


@dataclass
class Script:
    """What the service does when it is asked."""

    data_needs: list[str] = field(default_factory=list)
    events: list[runs_pb2.Run | runs_pb2.StageRecord] = field(default_factory=list)
    lines: list[tuple[str, bytes]] = field(default_factory=list)
    notes: list[tuple[str, bytes]] = field(default_factory=list)
    """Lines of the service itself, before those of the stages."""
    run: runs_pb2.Run = field(default_factory=lambda: runs_pb2.Run(id="42", name="brave-otter"))
    plan: pipelines_pb2.Plan = field(default_factory=pipelines_pb2.Plan)
    pipeline: pipelines_pb2.Pipeline = field(default_factory=pipelines_pb2.Pipeline)
    explanation: pipelines_pb2.Explanation = field(default_factory=pipelines_pb2.Explanation)
    lock_status: pipelines_pb2.LockStatus = field(default_factory=pipelines_pb2.LockStatus)
    refuse: tuple[int, str, str, dict[str, str]] | None = None
    break_streams_after: int = 0
    """Break each watching stream once, after so many messages."""
    lose_answers: int = 0
    """Break off the next calls that submit or get a run, so many, once they were heard."""
    never_ends: bool = False
    """Nothing that is watched or moved comes to an end."""
    is_older: bool = False
    """Know nothing of batches of events."""
    clock_off_s: float = 0.0
    findings: list[system_pb2.CheckFinding] = field(default_factory=list)
    leftovers: list[system_pb2.Leftover] = field(default_factory=list)
    faults: list[blobs_pb2.BlobFault] = field(default_factory=list)
    knows_no_hashes: bool = False
    """Look up digests only, as a service did before it was asked for hashes alone."""
    corrupt: bool = False
    """Send other bytes than the name says."""


class FakeService(
    blobs_pb2_grpc.BlobServiceServicer,
    pipelines_pb2_grpc.PipelineServiceServicer,
    runs_pb2_grpc.RunServiceServicer,
    system_pb2_grpc.SystemServiceServicer,
):
    """Start it, talk to `address`, stop it."""

    def __init__(self) -> None:
        self.script = Script()
        self.blobs: dict[str, bytes] = {}
        self.uploaded: list[str] = []
        self.downloaded: list[str] = []
        self.submissions: list[pipelines_pb2.Submission] = []
        self.submit_requests: list[runs_pb2.SubmitRunRequest] = []
        self.metadata: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.stopped: list[str] = []
        self.messages: list[int] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        blobs_pb2_grpc.add_BlobServiceServicer_to_server(self, self._server)
        pipelines_pb2_grpc.add_PipelineServiceServicer_to_server(self, self._server)
        runs_pb2_grpc.add_RunServiceServicer_to_server(self, self._server)
        system_pb2_grpc.add_SystemServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.address = f"grpc://127.0.0.1:{port}"

    def stop(self) -> None:
        self._server.stop(grace=None).wait()

    def hold(self, content: bytes) -> str:
        self.blobs[md5_of(content)] = content
        return md5_of(content)

    def hold_tree(self, members: dict[str, bytes]) -> str:
        entries = [{"md5": self.hold(members[name]), "relpath": name} for name in sorted(members)]
        content = json.dumps(entries, sort_keys=True).encode()
        self.blobs[md5_of(content) + ".dir"] = content
        return md5_of(content) + ".dir"

    def FindMissingBlobs(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.FindMissingBlobsRequest, context: grpc.ServicerContext
    ) -> blobs_pb2.FindMissingBlobsResponse:
        assert len(request.digests) <= 10_000
        answer = blobs_pb2.FindMissingBlobsResponse(
            missing=[digest for digest in request.digests if digest.hash not in self.blobs]
        )
        if not self.script.knows_no_hashes:
            assert len(request.hashes) <= 25_000 * 16
            hashes = [request.hashes[at : at + 16].hex() for at in range(0, len(request.hashes), 16)]
            answer.missing_hashes.extend(place for place, blob in enumerate(hashes) if blob not in self.blobs)
            answer.looked_up = len(hashes)
        return answer

    def UploadBlobs(  # noqa: N802 - named by the protocol
        self, request_iterator: Iterator[blobs_pb2.UploadBlobsRequest], context: grpc.ServicerContext
    ) -> blobs_pb2.UploadBlobsResponse:
        stored = 0
        parts: list[bytes] = []
        for message in request_iterator:
            self.messages.append(message.ByteSize())
            assert sum(len(chunk.data) for chunk in message.chunks) <= 2 * 1024 * 1024
            for chunk in message.chunks:
                assert len(chunk.data) <= 1024 * 1024
                assert chunk.offset == sum(map(len, parts))
                parts.append(chunk.data)
                if sum(map(len, parts)) < chunk.digest.size_bytes:
                    continue
                content = b"".join(parts)
                parts = []
                if md5_of(content) != chunk.digest.hash.removesuffix(".dir"):
                    abort(
                        context,
                        code_pb2.INVALID_ARGUMENT,
                        "BLOB_MISMATCH",
                        f"not the content of {chunk.digest.hash}",
                    )
                if chunk.digest.hash.endswith(".dir"):
                    assert all(entry["md5"] in self.blobs for entry in json.loads(content))
                self.blobs[chunk.digest.hash] = content
                self.uploaded.append(chunk.digest.hash)
                stored += 1
        return blobs_pb2.UploadBlobsResponse(stored=stored)

    def DownloadBlobs(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.DownloadBlobsRequest, context: grpc.ServicerContext
    ) -> Iterator[blobs_pb2.DownloadBlobsResponse]:
        for digest in request.digests:
            self.calls["download"] += 1
            self._linger(context)
            if digest.hash not in self.blobs:
                abort(context, code_pb2.NOT_FOUND, "BLOB_MISSING", f"the store does not hold {digest.hash}")
            content = self.blobs[digest.hash]
            if self.script.corrupt:
                content = b"something else"
            name = blobs_pb2.BlobDigest(hash=digest.hash, size_bytes=len(content))
            for offset in range(0, max(1, len(content)), _CHUNK):
                chunk = blobs_pb2.BlobChunk(
                    digest=name, offset=offset, data=content[offset : offset + _CHUNK]
                )
                yield blobs_pb2.DownloadBlobsResponse(chunks=[chunk])
            self.downloaded.append(digest.hash)

    def ProbeBucket(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.ProbeBucketRequest, context: grpc.ServicerContext
    ) -> blobs_pb2.ProbeBucketResponse:
        """As a service without it: all content goes through it."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no way past this service")

    def OfferUploads(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.OfferUploadsRequest, context: grpc.ServicerContext
    ) -> blobs_pb2.OfferUploadsResponse:
        raise AssertionError("nobody was told of a bucket")

    def FinishUpload(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.FinishUploadRequest, context: grpc.ServicerContext
    ) -> Iterator[blobs_pb2.FinishUploadResponse]:
        raise AssertionError("nobody was told of a bucket")

    def OfferDownloads(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.OfferDownloadsRequest, context: grpc.ServicerContext
    ) -> blobs_pb2.OfferDownloadsResponse:
        raise AssertionError("nobody was told of a bucket")

    def _needs(self, submission: pipelines_pb2.Submission) -> pipelines_pb2.Needs | None:
        self.submissions.append(submission)
        snapshot = submission.snapshot
        told = {data.path for data in snapshot.data}
        needs = pipelines_pb2.Needs(
            blobs=[
                digest
                for digest in (
                    *(file.digest for file in snapshot.files),
                    *(data.digest for data in snapshot.data if data.HasField("digest")),
                )
                if digest.hash not in self.blobs
            ],
            data=[pipelines_pb2.DataNeed(path=path) for path in self.script.data_needs if path not in told],
        )
        return needs if needs.blobs or needs.data else None

    def _refuse(self, context: grpc.ServicerContext) -> None:
        if self.script.refuse:
            code, reason, message, metadata = self.script.refuse
            abort(context, code, reason, message, **metadata)

    def DescribePipeline(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.DescribePipelineRequest, context: grpc.ServicerContext
    ) -> pipelines_pb2.DescribePipelineResponse:
        self._refuse(context)
        needs = self._needs(request.submission)
        return pipelines_pb2.DescribePipelineResponse(
            needs=needs, pipeline=self.script.pipeline if needs is None else None
        )

    def PlanRun(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.PlanRunRequest, context: grpc.ServicerContext
    ) -> pipelines_pb2.PlanRunResponse:
        self._refuse(context)
        needs = self._needs(request.submission)
        return pipelines_pb2.PlanRunResponse(needs=needs, plan=self.script.plan if needs is None else None)

    def AddStage(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.AddStageRequest, context: grpc.ServicerContext
    ) -> pipelines_pb2.AddStageResponse:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "tests/e2e has it")

    def LintProject(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.LintProjectRequest, context: grpc.ServicerContext
    ) -> pipelines_pb2.LintProjectResponse:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "tests/e2e has it")

    def ExpandSweep(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.ExpandSweepRequest, context: grpc.ServicerContext
    ) -> pipelines_pb2.ExpandSweepResponse:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "tests/e2e has it")

    def ExplainStage(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.ExplainStageRequest, context: grpc.ServicerContext
    ) -> pipelines_pb2.ExplainStageResponse:
        self._refuse(context)
        needs = self._needs(request.submission) if request.HasField("submission") else None
        return pipelines_pb2.ExplainStageResponse(
            needs=needs, explanation=self.script.explanation if needs is None else None
        )

    def CompareWithLock(  # noqa: N802 - named by the protocol
        self, request: pipelines_pb2.CompareWithLockRequest, context: grpc.ServicerContext
    ) -> pipelines_pb2.CompareWithLockResponse:
        self._refuse(context)
        needs = self._needs(request.submission)
        return pipelines_pb2.CompareWithLockResponse(
            needs=needs, status=self.script.lock_status if needs is None else None
        )

    def SubmitRun(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.SubmitRunRequest, context: grpc.ServicerContext
    ) -> runs_pb2.SubmitRunResponse:
        self.metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self._refuse(context)
        self.submit_requests.append(request)
        self._lose(context)
        needs = self._needs(request.submission)
        if needs is not None:
            return runs_pb2.SubmitRunResponse(needs=needs)
        self.script.run.project = request.submission.project
        accepted = runs_pb2.Run()
        accepted.CopyFrom(self.script.run)
        accepted.state = runs_pb2.STATE_QUEUED
        return runs_pb2.SubmitRunResponse(run=accepted)

    def _known(self, name: str, context: grpc.ServicerContext) -> None:
        if name not in {self.script.run.id, self.script.run.name}:
            abort(context, code_pb2.NOT_FOUND, "RUN_UNKNOWN", f"no run {name!r}")

    def GetRun(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.GetRunRequest, context: grpc.ServicerContext
    ) -> runs_pb2.GetRunResponse:
        self._refuse(context)
        self._lose(context)
        self._known(request.run, context)
        return runs_pb2.GetRunResponse(run=self.script.run)

    def ListRuns(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.ListRunsRequest, context: grpc.ServicerContext
    ) -> runs_pb2.ListRunsResponse:
        self.calls["list:" + request.project] += 1
        return runs_pb2.ListRunsResponse(runs=[self.script.run])

    def WatchRun(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.WatchRunRequest, context: grpc.ServicerContext
    ) -> Iterator[runs_pb2.WatchRunResponse]:
        self._known(request.run, context)
        self.calls["watch"] += 1
        last = runs_pb2.Run()
        last.CopyFrom(self.script.run)
        del last.stages[:]
        events = [*self.script.events, *([] if self.script.never_ends else [last])]
        told = list[runs_pb2.WatchRunResponse]()
        for sequence, event in enumerate(events, 1):
            if sequence <= request.after_sequence:
                continue
            self._break(context, "watch", sequence)
            if isinstance(event, runs_pb2.Run):
                told.append(runs_pb2.WatchRunResponse(sequence=sequence, run=event))
            else:
                told.append(runs_pb2.WatchRunResponse(sequence=sequence, stage=event))
            if not request.in_batches or self.script.is_older:
                yield told.pop()
            elif len(told) == _TOGETHER or event is events[-1]:
                yield runs_pb2.WatchRunResponse(batch=told)
                told.clear()
        self._linger(context)

    def TailLogs(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.TailLogsRequest, context: grpc.ServicerContext
    ) -> Iterator[runs_pb2.TailLogsResponse]:
        self._known(request.run, context)
        self.calls["logs"] += 1
        written = [
            *((runs_pb2.LOG_STREAM_SYSTEM, *note) for note in self.script.notes),
            *((runs_pb2.LOG_STREAM_STDOUT, *line) for line in self.script.lines),
        ]
        for sequence, (stream, stage, text) in enumerate(written, 1):
            if sequence <= request.after_sequence or (request.stage and stage != request.stage):
                continue
            self._break(context, "logs", sequence)
            line = runs_pb2.LogLine(sequence=sequence, stage=stage, stream=stream, text=text)
            yield runs_pb2.TailLogsResponse(lines=[line])
        if request.follow:
            self._linger(context)
        yield runs_pb2.TailLogsResponse(done=True)

    def _break(self, context: grpc.ServicerContext, stream: str, sequence: int) -> None:
        if self.script.break_streams_after < sequence and self.script.break_streams_after:
            self.calls["broken:" + stream] += 1
            if self.calls["broken:" + stream] == 1:
                context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

    def _lose(self, context: grpc.ServicerContext) -> None:
        if self.script.lose_answers:
            self.script.lose_answers -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    def _linger(self, context: grpc.ServicerContext) -> None:
        if self.script.never_ends:
            gone = futures.Future[None]()
            context.add_callback(lambda: gone.set_result(None))
            gone.result(timeout=600)

    def RetryRun(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.RetryRunRequest, context: grpc.ServicerContext
    ) -> runs_pb2.RetryRunResponse:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "tests/e2e has it")

    def CancelRun(  # noqa: N802 - named by the protocol
        self, request: runs_pb2.CancelRunRequest, context: grpc.ServicerContext
    ) -> runs_pb2.CancelRunResponse:
        self._known(request.run, context)
        self.stopped.append(request.run)
        return runs_pb2.CancelRunResponse(run=runs_pb2.Run(id="42", state=runs_pb2.STATE_RUNNING))

    def GetInfo(  # noqa: N802 - named by the protocol
        self, request: system_pb2.GetInfoRequest, context: grpc.ServicerContext
    ) -> system_pb2.GetInfoResponse:
        return system_pb2.GetInfoResponse(version="9.9.9", engine_version="20.10")

    def RemoveLeftovers(  # noqa: N802 - named by the protocol
        self, request: system_pb2.RemoveLeftoversRequest, context: grpc.ServicerContext
    ) -> system_pb2.RemoveLeftoversResponse:
        removed, self.script.leftovers = self.script.leftovers, []
        return system_pb2.RemoveLeftoversResponse(removed=removed)

    def CheckService(  # noqa: N802 - named by the protocol
        self, request: system_pb2.CheckServiceRequest, context: grpc.ServicerContext
    ) -> system_pb2.CheckServiceResponse:
        answer = system_pb2.CheckServiceResponse(findings=self.script.findings)
        answer.now.FromNanoseconds(time.time_ns() + int(self.script.clock_off_s * 1e9))
        return answer

    def CheckBlobs(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.CheckBlobsRequest, context: grpc.ServicerContext
    ) -> Iterator[blobs_pb2.CheckBlobsResponse]:
        self.calls[f"check:{request.sample}"] += 1
        yield blobs_pb2.CheckBlobsResponse(checked=1, total=2, bytes_read=10, faults=self.script.faults[:1])
        yield blobs_pb2.CheckBlobsResponse(checked=2, total=2, bytes_read=20, faults=self.script.faults[1:])

    def GetDvcRemote(  # noqa: N802 - named by the protocol
        self, request: system_pb2.GetDvcRemoteRequest, context: grpc.ServicerContext
    ) -> system_pb2.GetDvcRemoteResponse:
        return system_pb2.GetDvcRemoteResponse(
            url="s3://wherry/dvc",
            endpointurl="http://127.0.0.1:8333",
            region="us-east-1",
            access_key_id="id",
            secret_access_key="s,e#cret",
        )
