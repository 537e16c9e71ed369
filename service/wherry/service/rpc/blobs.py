"""BlobService, translated to use cases."""

from collections.abc import AsyncIterator

from wherry.service.domain.blob import parse_sha256
from wherry.service.domain.findings import FaultKind
from wherry.service.domain.limits import BATCH_BYTES_MAX, OFFERS_PER_CALL_MAX
from wherry.service.ports.direct_transfers import SignedRequest
from wherry.service.rpc.context import Context
from wherry.service.rpc.convert import (
    digest_from,
    digest_to,
    digests_from,
    expect_at_most,
    packed_hashes_from,
)
from wherry.service.usecases.check_blobs import CheckBlobs
from wherry.service.usecases.direct_blobs import DirectBlobs, UploadOffer
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.put_blobs import Chunk, PutBlobs
from wherry.service.usecases.send_blobs import SendBlobs
from wherry.v1 import blobs_pb2, blobs_pb2_grpc

_KINDS = {
    FaultKind.DAMAGED: blobs_pb2.BlobFault.KIND_DAMAGED,
    FaultKind.MISSING: blobs_pb2.BlobFault.KIND_MISSING,
    FaultKind.INCOMPLETE: blobs_pb2.BlobFault.KIND_INCOMPLETE,
    FaultKind.EXCHANGED: blobs_pb2.BlobFault.KIND_EXCHANGED,
}


class BlobServicer(blobs_pb2_grpc.BlobServiceServicer):
    """Moves content."""

    def __init__(
        self,
        *,
        put: PutBlobs,
        sources: FindSources,
        send: SendBlobs,
        direct: DirectBlobs,
        check: CheckBlobs,
    ) -> None:
        """Take in through `put`, give out through `send`; `direct` is the way past the service, `check` reads again.

        What is held of files of projects `sources` says.
        """
        self._sources = sources
        self._put = put
        self._send = send
        self._direct = direct
        self._check = check

    async def FindMissingBlobs(  # noqa: N802 - named by the protocol
        self, request: blobs_pb2.FindMissingBlobsRequest, context: Context
    ) -> blobs_pb2.FindMissingBlobsResponse:
        """Say which blobs are not held."""
        find = self._sources.find_missing if request.sources else self._put.find_missing
        packed = packed_hashes_from(request.hashes)
        missing = await find([*packed, *(digest.hash for digest in digests_from(request.digests))])
        return blobs_pb2.FindMissingBlobsResponse(
            # The messages that came, not new ones: there may be thousands.
            missing=[digest for digest in request.digests if digest.hash in missing],
            missing_hashes=[place for place, blob in enumerate(packed) if blob in missing],
            looked_up=len(packed),
        )

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
        async for chunk in self._send(digests_from(request.digests)):
            if batch.chunks and size + len(chunk.data) > BATCH_BYTES_MAX:
                yield batch
                batch, size = blobs_pb2.DownloadBlobsResponse(), 0
            batch.chunks.add(digest=digest_to(chunk.digest), offset=chunk.offset, data=chunk.data)
            size += len(chunk.data)
        if batch.chunks:
            yield batch

    async def ProbeBucket(  # noqa: N802
        self, request: blobs_pb2.ProbeBucketRequest, context: Context
    ) -> blobs_pb2.ProbeBucketResponse:
        """Let the caller try whether it reaches the bucket."""
        signed, content = await self._direct.probe()
        return blobs_pb2.ProbeBucketResponse(request=_signed_to(signed), content=content)

    async def OfferUploads(  # noqa: N802
        self, request: blobs_pb2.OfferUploadsRequest, context: Context
    ) -> blobs_pb2.OfferUploadsResponse:
        """Sign uploads."""
        expect_at_most(len(request.digests), OFFERS_PER_CALL_MAX, "digests")
        offers = await self._direct.offer_uploads(digests_from(request.digests), in_parts=request.in_parts)
        return blobs_pb2.OfferUploadsResponse(offers=[_upload_offer_to(offer) for offer in offers])

    async def FinishUpload(  # noqa: N802
        self, request: blobs_pb2.FinishUploadRequest, context: Context
    ) -> AsyncIterator[blobs_pb2.FinishUploadResponse]:
        """Take in what was sent to the bucket."""
        digest = digest_from(request.digest)
        sha256 = parse_sha256(request.sha256) if request.sha256 else None
        async for verified in self._direct.finish_upload(digest, in_parts=request.in_parts, sha256=sha256):
            yield blobs_pb2.FinishUploadResponse(verified_bytes=verified)

    async def OfferDownloads(  # noqa: N802
        self, request: blobs_pb2.OfferDownloadsRequest, context: Context
    ) -> blobs_pb2.OfferDownloadsResponse:
        """Sign downloads."""
        expect_at_most(len(request.digests), OFFERS_PER_CALL_MAX, "digests")
        offers = await self._direct.offer_downloads(digests_from(request.digests))
        return blobs_pb2.OfferDownloadsResponse(
            offers=[
                blobs_pb2.DownloadOffer(digest=digest_to(offer.digest), request=_signed_to(offer.request))
                for offer in offers
            ]
        )

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


def _upload_offer_to(offer: UploadOffer) -> blobs_pb2.UploadOffer:
    return blobs_pb2.UploadOffer(
        digest=digest_to(offer.digest),
        held=offer.held,
        received_bytes=offer.received_bytes,
        request=_signed_to(offer.request) if offer.request is not None else None,
        parts=[
            blobs_pb2.UploadPart(
                offset=part.offset, size_bytes=part.size_bytes, request=_signed_to(part.request)
            )
            for part in offer.parts
        ],
    )


def _signed_to(request: SignedRequest) -> blobs_pb2.SignedRequest:
    return blobs_pb2.SignedRequest(url=request.url, headers=dict(request.headers))


async def _chunks_from(requests: AsyncIterator[blobs_pb2.UploadBlobsRequest]) -> AsyncIterator[Chunk]:
    async for request in requests:
        for chunk in request.chunks:
            yield Chunk(digest_from(chunk.digest), chunk.offset, chunk.data, is_source=request.sources)
