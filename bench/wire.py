"""Submits projects straight over the wire, without folders and without a process for each user.

What is measured with it is the service: a client that scans, hashes and starts takes longer than what it asks for.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import grpc
from bench.stand import IMAGE

from wherry.v1 import blobs_pb2, blobs_pb2_grpc, pipelines_pb2, runs_pb2, runs_pb2_grpc

_ROUNDS_MAX = 10
_CALL_S = 300.0
_CONNECT_S = 30.0
_FINAL = frozenset(
    {
        runs_pb2.STATE_SUCCEEDED,
        runs_pb2.STATE_FAILED,
        runs_pb2.STATE_CANCELLED,
        runs_pb2.STATE_LOST,
    }
)


def service_of(home: Path) -> tuple[int, str, str]:
    """Process, address and token of the service that has its state in `home`."""
    said = json.loads((home / "service.json").read_text())
    token = (home / str(said.get("token_file") or "token")).read_text().strip()
    return int(said["pid"]), str(said["address"]).removeprefix("grpc://"), token


def resident_mb(pid: int) -> float:
    """What a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def project_of(dvc_yaml: str, **files: str) -> dict[str, bytes]:
    """The files of a project whose stages run in the usual image, without a network."""
    settings = f'[defaults]\nimage = "{IMAGE}"\nnetwork = false\n'
    named = {".dvc/config": "", ".dvc/wherry.toml": settings, "dvc.yaml": dvc_yaml, **files}
    return {path: text.encode() for path, text in named.items()}


class User:
    """Somebody with a connection to a service."""

    def __init__(self, address: str, token: str, name: str) -> None:
        """Connect."""
        # Each user's own connection, as users' are; channels with the same arguments would share one.
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        )
        self.runs = runs_pb2_grpc.RunServiceStub(self._channel)
        self._blobs = blobs_pb2_grpc.BlobServiceStub(self._channel)
        self.metadata = (("wherry-user", name), ("authorization", f"Bearer {token}"))

    def close(self) -> None:
        """Disconnect."""
        self._channel.close()

    def connect(self) -> None:
        """Return when the connection stands."""
        grpc.channel_ready_future(self._channel).result(timeout=_CONNECT_S)

    def submit(self, project: str, files: Mapping[str, bytes], *, force: bool = False) -> runs_pb2.Run:
        """Submit a project, sending what the service lacks."""
        digests = {path: _digest(content) for path, content in files.items()}
        request = runs_pb2.SubmitRunRequest(
            idempotency_key=uuid.uuid4().hex,
            force=force,
            submission=pipelines_pb2.Submission(
                project=project,
                snapshot=pipelines_pb2.Snapshot(
                    files=[
                        pipelines_pb2.SnapshotFile(path=path, digest=digest)
                        for path, digest in digests.items()
                    ]
                ),
            ),
        )
        content = {digest.hash: files[path] for path, digest in digests.items()}
        for _ in range(_ROUNDS_MAX):
            answer = self.runs.SubmitRun(request, timeout=_CALL_S, metadata=self.metadata)
            if answer.WhichOneof("outcome") == "run":
                return answer.run
            if answer.needs.data:
                raise SystemExit(f"the service asks for data: {answer.needs}")
            self._blobs.UploadBlobs(
                _chunks(answer.needs.blobs, content), timeout=_CALL_S, metadata=self.metadata
            )
        raise SystemExit("the service asks again and again")

    def run(self, run_id: str) -> runs_pb2.Run:
        """A run as it is now."""
        request = runs_pb2.GetRunRequest(run=run_id)
        return self.runs.GetRun(request, timeout=_CALL_S, metadata=self.metadata).run

    def end_of(self, run_id: str) -> runs_pb2.Run:
        """Wait for the end of a run; one that did not succeed ends the benchmark."""
        while (run := self.run(run_id)).state not in _FINAL:
            time.sleep(0.1)
        if run.state != runs_pb2.STATE_SUCCEEDED:
            raise SystemExit(f"run {run.id} did not succeed: {run.error}")
        return run


def _digest(content: bytes) -> blobs_pb2.BlobDigest:
    name = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return blobs_pb2.BlobDigest(hash=name, size_bytes=len(content))


def _chunks(
    wanted: Iterable[blobs_pb2.BlobDigest], content: Mapping[str, bytes]
) -> Iterator[blobs_pb2.UploadBlobsRequest]:
    for digest in wanted:
        chunk = blobs_pb2.BlobChunk(digest=digest, data=content[digest.hash])
        yield blobs_pb2.UploadBlobsRequest(chunks=[chunk])
