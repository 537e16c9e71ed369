"""The protocol over a real socket: what a client in another language would rely on."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from tests.e2e.harness import Metadata, Project
from wherry.v1 import blobs_pb2, blobs_pb2_grpc, runs_pb2, runs_pb2_grpc, system_pb2, system_pb2_grpc

Make = Callable[[dict[str, str]], Project]

TWO_STAGES = (
    "stages:\n  one: {cmd: cp a b, deps: [a], outs: [b]}\n  two: {cmd: cp b c, deps: [b], outs: [c]}\n"
)


def digest_of(data: bytes, suffix: str = "") -> blobs_pb2.BlobDigest:
    return blobs_pb2.BlobDigest(hash=hashlib.md5(data).hexdigest() + suffix, size_bytes=len(data))


def upload(*blobs: tuple[blobs_pb2.BlobDigest, bytes]) -> list[blobs_pb2.UploadBlobsRequest]:
    return [
        blobs_pb2.UploadBlobsRequest(chunks=[blobs_pb2.BlobChunk(digest=digest, data=data)])
        for digest, data in blobs
    ]


def reason_of(error: Any) -> str:
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "wherry"
    return str(info.reason)


def test_health_and_reflection_need_no_token(channel: grpc.Channel) -> None:
    answer = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service="wherry.v1.RunService")
    )
    listing = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    names = {service.name for response in listing for service in response.list_services_response.service}
    assert {f"wherry.v1.{name}Service" for name in ("Blob", "Pipeline", "Run", "System")} <= names


def test_calls_without_the_token_are_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        system_pb2_grpc.SystemServiceStub(channel).GetInfo(system_pb2.GetInfoRequest())

    with pytest.raises(grpc.RpcError) as refused_stream:
        list(runs_pb2_grpc.RunServiceStub(channel).WatchRun(runs_pb2.WatchRunRequest(run="1")))

    for refusal in (refused.value, refused_stream.value):
        assert refusal.code() == grpc.StatusCode.UNAUTHENTICATED
        assert reason_of(refusal) == "NOT_ALLOWED"


def test_a_blob_goes_in_and_comes_out(channel: grpc.Channel, token: Metadata) -> None:
    stub = blobs_pb2_grpc.BlobServiceStub(channel)
    small, large = b"small", b"x" * 3_000_000 + b"end"
    chunks = [
        blobs_pb2.UploadBlobsRequest(
            chunks=[blobs_pb2.BlobChunk(digest=digest_of(large), offset=at, data=large[at : at + 1_000_000])]
        )
        for at in range(0, len(large), 1_000_000)
    ]
    empty = digest_of(b"")

    stored = stub.UploadBlobs(
        iter([*upload((digest_of(small), small), (empty, b"")), *chunks]), metadata=token
    )
    request = blobs_pb2.DownloadBlobsRequest(digests=[digest_of(large), empty, digest_of(small)])
    got: dict[str, bytes] = {}
    for response in stub.DownloadBlobs(request, metadata=token):
        for chunk in response.chunks:
            assert chunk.offset == len(got.get(chunk.digest.hash, b""))
            got[chunk.digest.hash] = got.get(chunk.digest.hash, b"") + chunk.data

    assert stored.stored == 3
    assert got == {digest_of(data).hash: data for data in (large, b"", small)}


def test_content_that_does_not_match_its_hash_is_refused_and_nothing_is_visible(
    channel: grpc.Channel, token: Metadata
) -> None:
    stub = blobs_pb2_grpc.BlobServiceStub(channel)
    promised = digest_of(b"what was promised")

    with pytest.raises(grpc.RpcError) as refused:
        stub.UploadBlobs(iter(upload((promised, b"something else!!!"))), metadata=token)
    missing = stub.FindMissingBlobs(
        blobs_pb2.FindMissingBlobsRequest(digests=[promised]), metadata=token
    ).missing

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "BLOB_MISMATCH"
    assert list(missing) == [promised]
    with pytest.raises(grpc.RpcError) as absent:
        list(stub.DownloadBlobs(blobs_pb2.DownloadBlobsRequest(digests=[promised]), metadata=token))
    assert absent.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_tree_is_held_only_after_its_members(channel: grpc.Channel, token: Metadata) -> None:
    stub = blobs_pb2_grpc.BlobServiceStub(channel)
    member = b"member of a tree"
    tree = json.dumps([{"md5": digest_of(member).hash, "relpath": "m"}]).encode()
    named = digest_of(tree, ".dir")

    with pytest.raises(grpc.RpcError) as refused:
        stub.UploadBlobs(iter(upload((named, tree))), metadata=token)
    together = stub.UploadBlobs(iter(upload((digest_of(member), member), (named, tree))), metadata=token)

    assert reason_of(refused.value) == "TREE_INCOMPLETE"
    assert together.stored == 2


@pytest.mark.parametrize("bad", ["", "0" * 31, "g" * 32, "0" * 32 + ".exe", "../" + "0" * 29])
def test_malformed_hashes_are_refused(channel: grpc.Channel, token: Metadata, bad: str) -> None:
    stub = blobs_pb2_grpc.BlobServiceStub(channel)
    request = blobs_pb2.FindMissingBlobsRequest(digests=[blobs_pb2.BlobDigest(hash=bad)])

    with pytest.raises(grpc.RpcError) as refused:
        stub.FindMissingBlobs(request, metadata=token)

    assert reason_of(refused.value) == "DIGEST_MALFORMED"


def test_a_malformed_second_name_is_refused(channel: grpc.Channel, token: Metadata) -> None:
    stub = blobs_pb2_grpc.BlobServiceStub(channel)
    request = blobs_pb2.FinishUploadRequest(digest=digest_of(b"never sent"), sha256="0" * 63)

    with pytest.raises(grpc.RpcError) as refused:
        list(stub.FinishUpload(request, metadata=token))

    assert reason_of(refused.value) == "DIGEST_MALFORMED"


def test_many_hashes_are_asked_for_packed_beside_digests_or_alone(
    channel: grpc.Channel, token: Metadata
) -> None:
    stub = blobs_pb2_grpc.BlobServiceStub(channel)
    source, output = b"a source of a project", b"an output"
    requests = upload((digest_of(source), source)), upload((digest_of(output), output))
    requests[0][0].sources = True
    for request in requests:
        stub.UploadBlobs(iter(request), metadata=token)
    never = [hashlib.md5(b"never sent %d" % number).digest() for number in range(2)]
    asked = [never[0], hashlib.md5(source).digest(), hashlib.md5(output).digest(), never[1]]

    def ask(**fields: Any) -> blobs_pb2.FindMissingBlobsResponse:
        return stub.FindMissingBlobs(blobs_pb2.FindMissingBlobsRequest(**fields), metadata=token)

    of_sources = ask(hashes=b"".join(asked), sources=True)
    of_outputs = ask(hashes=b"".join(asked), digests=[digest_of(b"absent"), digest_of(output)])

    assert (list(of_sources.missing_hashes), of_sources.looked_up) == ([0, 3], 4)
    assert (list(of_outputs.missing_hashes), of_outputs.looked_up) == ([0, 1, 3], 4)
    assert list(of_outputs.missing) == [digest_of(b"absent")]
    assert ask() == blobs_pb2.FindMissingBlobsResponse()


@pytest.mark.parametrize(
    ("hashes", "reason"), [(b"x" * 17, "DIGEST_MALFORMED"), (b"x" * 16 * 25_001, "TOO_MANY")]
)
def test_packed_hashes_are_whole_and_bounded(
    channel: grpc.Channel, token: Metadata, hashes: bytes, reason: str
) -> None:
    stub = blobs_pb2_grpc.BlobServiceStub(channel)

    with pytest.raises(grpc.RpcError) as refused:
        stub.FindMissingBlobs(blobs_pb2.FindMissingBlobsRequest(hashes=hashes), metadata=token)

    assert reason_of(refused.value) == reason


def test_watching_and_logs_resume_by_sequence_number(
    channel: grpc.Channel, token: Metadata, make_project: Make
) -> None:
    project = make_project({"dvc.yaml": TWO_STAGES, "a": "watched"})
    run = project.repro()["id"]
    stub = runs_pb2_grpc.RunServiceStub(channel)

    events = list(stub.WatchRun(runs_pb2.WatchRunRequest(run=run), metadata=token))
    middle = events[len(events) // 2].sequence
    rest = list(stub.WatchRun(runs_pb2.WatchRunRequest(run=run, after_sequence=middle), metadata=token))
    lines = [
        line
        for page in stub.TailLogs(runs_pb2.TailLogsRequest(run=run), metadata=token)
        for line in page.lines
    ]
    later = [
        line
        for page in stub.TailLogs(runs_pb2.TailLogsRequest(run=run, after_sequence=1), metadata=token)
        for line in page.lines
    ]

    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert rest == events[middle:]
    assert events[-1].run.state == runs_pb2.STATE_SUCCEEDED
    assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    assert later == lines[1:]


def test_one_idempotency_key_makes_one_run(
    channel: grpc.Channel, token: Metadata, make_project: Make
) -> None:
    project = make_project({"dvc.yaml": TWO_STAGES, "a": "once"})
    first = project.repro()
    stub = runs_pb2_grpc.RunServiceStub(channel)
    dvc_yaml, data = TWO_STAGES.encode(), b"once"
    toml = (project.root / ".dvc/wherry.toml").read_bytes()
    request = runs_pb2.SubmitRunRequest(idempotency_key="the-same-key")
    for path, content in (("dvc.yaml", dvc_yaml), ("a", data), (".dvc/wherry.toml", toml)):
        request.submission.snapshot.files.add(path=path, digest=digest_of(content))

    answers = [stub.SubmitRun(request, metadata=token) for _ in range(3)]

    assert len({answer.run.id for answer in answers}) == 1
    assert answers[0].run.id != first["id"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../b", "a//b", "./a", "a/", "nul\0byte"])
def test_paths_that_leave_the_project_are_refused(channel: grpc.Channel, token: Metadata, path: str) -> None:
    request = runs_pb2.SubmitRunRequest(idempotency_key="hostile-path")
    request.submission.snapshot.files.add(path=path, digest=digest_of(b"x"))

    with pytest.raises(grpc.RpcError) as refused:
        runs_pb2_grpc.RunServiceStub(channel).SubmitRun(request, metadata=token)

    assert reason_of(refused.value) == "PATH_ESCAPES"
