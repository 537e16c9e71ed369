"""BlobService, translated to use cases."""

from collections.abc import AsyncIterator

from wherry.service.domain.findings import FaultKind
from wherry.service.domain.limits import BATCH_BYTES_MAX
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import digest_from, digest_to, digests_from
from wherry.service.usecases.check_blobs import CheckBlobs
from wherry.service.usecases.put_blobs import Chunk, PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.v1 import blobs_pb2, blobs_pb2_grpc

_KINDS = {
    FaultKind.DAMAGED: blobs_pb2.BlobFault.KIND_DAMAGED,
    FaultKind.MISSING: blobs_pb2.BlobFault.KIND_MISSING,
    FaultKind.INCOMPLETE: blobs_pb2.BlobFault.KIND_INCOMPLETE,
    FaultKind.EXCHANGED: blobs_pb2.BlobFault.KIND_EXCHANGED,
}


class BlobServicer(blobs_pb2_grpc.BlobServiceServicer):
    """Moves content."""

    def __init__(self, *, put: PutBlobs, read: ReadBlobs, check: CheckBlobs) -> None:
        """Take in through `put`, give out through `read`, have all read again by `check`."""
        self._put = put
        self._read = read
        self._check = check

    async def FindMissingBlobs(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.FindMissingBlobsRequest, context: Context
    ) -> blobs_pb2.FindMissingBlobsResponse:
        """Say which blobs are not held."""
        missing = await self._put.find_missing(digests_from(request.digests))
        return blobs_pb2.FindMissingBlobsResponse(missing=[digest_to(digest) for digest in missing])

    async def UploadBlobs(  # noqa: N802
        self, request: AsyncIterator[blobs_pb2.UploadBlobsRequest], context: Context
    ) -> blobs_pb2.UploadBlobsResponse:
        """Store blobs."""
        return blobs_pb2.UploadBlobsResponse(stored=await self._put.receive(_chunks_from(request)))

    async def DownloadBlobs(  # noqa: N802
        self, request: blobs_pb2.DownloadBlobsRequest, context: Context
    ) -> AsyncIterator[blobs_pb2.DownloadBlobsResponse]:
        """Send blobs, small chunks packed together."""
        batch, size = blobs_pb2.DownloadBlobsResponse(), 0
        async for chunk in self._read.send(digests_from(request.digests)):
            if batch.chunks and size + len(chunk.data) > BATCH_BYTES_MAX:
                yield batch
                batch, size = blobs_pb2.DownloadBlobsResponse(), 0
            batch.chunks.add(digest=digest_to(chunk.digest), offset=chunk.offset, data=chunk.data)
            size += len(chunk.data)
        if batch.chunks:
            yield batch

    async def CheckBlobs(  # noqa: N802
        self, request: blobs_pb2.CheckBlobsRequest, context: Context
    ) -> AsyncIterator[blobs_pb2.CheckBlobsResponse]:
        """Read blobs of the store again."""
        async for progress in self._check(request.sample):
            yield blobs_pb2.CheckBlobsResponse(
                checked=progress.checked,
                total=progress.total,
                bytes_read=progress.bytes_read,
                faults=[
                    blobs_pb2.BlobFault(hash=fault.hash, kind=_KINDS[fault.kind], message=fault.message)
                    for fault in progress.faults
                ],
            )


async def _chunks_from(requests: AsyncIterator[blobs_pb2.UploadBlobsRequest]) -> AsyncIterator[Chunk]:
    async for request in requests:
        for chunk in request.chunks:
            yield Chunk(digest_from(chunk.digest), chunk.offset, chunk.data)
