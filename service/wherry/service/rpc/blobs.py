"""BlobService, translated to use cases."""

from collections.abc import AsyncIterator

from wherry.service.domain.limits import BATCH_BYTES_MAX
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import digest_from, digest_to, digests_from
from wherry.service.usecases.put_blobs import Chunk, PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.v1 import blobs_pb2, blobs_pb2_grpc


class BlobServicer(blobs_pb2_grpc.BlobServiceServicer):
    """Moves content."""

    def __init__(self, *, put: PutBlobs, read: ReadBlobs) -> None:
        """Take in through `put`, give out through `read`."""
        self._put = put
        self._read = read

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


async def _chunks_from(requests: AsyncIterator[blobs_pb2.UploadBlobsRequest]) -> AsyncIterator[Chunk]:
    async for request in requests:
        for chunk in request.chunks:
            yield Chunk(digest_from(chunk.digest), chunk.offset, chunk.data)
