"""Sending a large file whose MD5 something in the bucket has already: the client says which content it has."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2

from tests.integration.client.fake_service import FakeService, abort
from wherry.client.address import Endpoint
from wherry.client.connection import Connection
from wherry.client.direct import DirectWay, LargeFile
from wherry.client.errors import FileTrouble, Refused
from wherry.client.memory import FileStamp
from wherry.client.progress import Silent
from wherry.v1 import blobs_pb2

CONTENT = b"large enough"
DIGEST = blobs_pb2.BlobDigest(hash=hashlib.md5(CONTENT).hexdigest(), size_bytes=len(CONTENT))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Bucket(BaseHTTPRequestHandler):
    """Answers the probe, and every PUT with the status that its path says."""

    def do_GET(self) -> None:
        self._answer(200, b"probe")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(int(self.path.strip("/?")), b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class DirectService(FakeService):
    """Offers what it is told to, and keeps what it is told at the end."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address_of_bucket = address
        self.offers: list[blobs_pb2.UploadOffer] = []
        self.finished: list[blobs_pb2.FinishUploadRequest] = []
        self.is_another = False

    def signed(self, path: str) -> blobs_pb2.SignedRequest:
        return blobs_pb2.SignedRequest(url=f"{self.address_of_bucket}/{path}")

    def ProbeBucket(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.ProbeBucketRequest, context: grpc.ServicerContext
    ) -> blobs_pb2.ProbeBucketResponse:
        return blobs_pb2.ProbeBucketResponse(request=self.signed("probe"), content=b"probe")

    def OfferUploads(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.OfferUploadsRequest, context: grpc.ServicerContext
    ) -> blobs_pb2.OfferUploadsResponse:
        return blobs_pb2.OfferUploadsResponse(offers=[self.offers.pop(0)])

    def FinishUpload(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.FinishUploadRequest, context: grpc.ServicerContext
    ) -> Iterator[blobs_pb2.FinishUploadResponse]:
        self.finished.append(request)
        if self.is_another:
            abort(
                context, code_pb2.FAILED_PRECONDITION, "HASH_COLLISION", "another content", hint="change it"
            )
        yield blobs_pb2.FinishUploadResponse(verified_bytes=len(CONTENT))


@dataclass
class World:
    service: DirectService
    direct: DirectWay
    file: LargeFile


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    bucket = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    bucket.daemon_threads = True
    threading.Thread(target=bucket.serve_forever, args=(0.05,), daemon=True).start()
    service = DirectService(f"http://127.0.0.1:{bucket.server_address[1]}")
    endpoint = Endpoint(target=service.address.removeprefix("grpc://"), secure=False)
    connection = Connection(lambda: endpoint, user="ana")
    path = tmp_path / "big"
    path.write_bytes(CONTENT)
    file = LargeFile(
        digest=DIGEST,
        label="data/big",
        file=path,
        stamp=FileStamp.of(path.stat()),
        changed=lambda: FileTrouble("changed"),
    )
    yield World(service, DirectWay(connection, Silent()), file)
    connection.close()
    service.stop()
    bucket.shutdown()
    bucket.server_close()


def offers(service: DirectService, way: str) -> list[blobs_pb2.UploadOffer]:
    part = blobs_pb2.UploadPart(offset=0, size_bytes=len(CONTENT), request=service.signed("200"))
    whole = {"new": "200", "taken": "412"}
    if way in whole:
        return [blobs_pb2.UploadOffer(digest=DIGEST, request=service.signed(whole[way]))]
    if way == "held":
        return [blobs_pb2.UploadOffer(digest=DIGEST, held=True)]
    return [
        blobs_pb2.UploadOffer(digest=DIGEST, parts=[part]),
        blobs_pb2.UploadOffer(digest=DIGEST, received_bytes=len(CONTENT)),
    ]


@pytest.mark.parametrize(
    ("way", "said"), [("new", ""), ("taken", SHA256), ("held", SHA256), ("in parts", SHA256)]
)
def test_the_content_is_named_where_it_may_not_be_the_one_that_is_there(
    world: World, way: str, said: str
) -> None:
    world.service.offers = offers(world.service, way)

    assert world.direct.upload([world.file]) == []

    assert [request.sha256 for request in world.service.finished] == [said]


def test_the_refusal_of_a_second_content_names_the_file(world: World) -> None:
    world.service.offers, world.service.is_another = offers(world.service, "taken"), True

    with pytest.raises(Refused) as refused:
        world.direct.upload([world.file])

    assert refused.value.message == "data/big: another content"
    assert (refused.value.where, refused.value.hint) == ("data/big", "change it")


def test_a_file_that_changed_meanwhile_is_not_compared(world: World) -> None:
    world.service.offers = offers(world.service, "held")
    world.file.file.write_bytes(b"other" * 9)

    with pytest.raises(FileTrouble, match="changed"):
        world.direct.upload([world.file])

    assert world.service.finished == []
