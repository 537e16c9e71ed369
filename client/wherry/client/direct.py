"""Large blobs straight to the bucket and from it, where this machine reaches it; else through the service."""

import hashlib
import threading
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc

from wherry.client.bucket import ALREADY_THERE, OK, Bucket, BucketTrouble, FilePart
from wherry.client.connection import LONG_S, Connection
from wherry.client.errors import HASH_COLLISION, FileTrouble, Invalid, ProtocolBroken, Unknown, Unreachable
from wherry.client.memory import FileStamp
from wherry.client.progress import Progress
from wherry.v1.blobs_pb2 import (
    BlobDigest,
    FinishUploadRequest,
    OfferDownloadsRequest,
    OfferUploadsRequest,
    ProbeBucketRequest,
    SignedRequest,
    UploadOffer,
)

# Below this the two calls that signing and taking in need cost more than the detour through the service.
DIRECT_BYTES_MIN = 4 * 1024 * 1024

_STREAMS = 4
_ATTEMPTS = 5
_BREAK_S = 0.5
# So much of a single request lost at a break, and the next attempt is in parts.
_LOST_BYTES_MAX = 16 * 1024 * 1024
_OFFERS_PER_CALL = 100
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeFile:
    """A file to send."""

    digest: BlobDigest
    label: str
    file: Path
    stamp: FileStamp | None
    changed: Callable[[], FileTrouble]
    """Makes the error for a file that is no longer what was hashed."""


class DirectWay:
    """The way past the service. Whether there is one is tried once."""

    def __init__(self, connection: Connection, progress: Progress) -> None:
        """Try nothing yet."""
        self._connection = connection
        self._progress = progress
        self.bucket = Bucket()
        self._lock = threading.Lock()
        self._open: bool | None = None

    def is_open(self) -> bool:
        """Whether this machine reaches the bucket."""
        with self._lock:
            if self._open is None:
                self._open = self._probe()
                if not self._open:
                    self._progress.detail(
                        "the bucket is not reachable from here: all goes through the service"
                    )
            return self._open

    def upload(self, files: Sequence[LargeFile]) -> list[LargeFile]:
        """Send files; returns those that have to go through the service.

        Raises:
            FileTrouble: if a file is no longer what was hashed.
            ClientError: as the service says.
        """
        if not files or not self.is_open():
            return list(files)
        self._progress.detail(
            f"{len(files)} large file{'' if len(files) == 1 else 's'} straight to the bucket"
        )
        with ThreadPoolExecutor(max_workers=_STREAMS) as pool:
            jobs = [pool.submit(self._send, file) for file in sorted(files, key=_by_size)]
            try:
                done = [job.result() for job in jobs]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                self.bucket.close()
        return [file for file, is_sent in zip(sorted(files, key=_by_size), done, strict=True) if not is_sent]

    def offers(self, digests: Sequence[BlobDigest]) -> dict[str, tuple[int, SignedRequest]]:
        """True size of blobs, and requests to read them, by hash."""
        found: dict[str, tuple[int, SignedRequest]] = {}
        for start in range(0, len(digests), _OFFERS_PER_CALL):
            request = OfferDownloadsRequest(digests=digests[start : start + _OFFERS_PER_CALL])
            answer = self._connection.unary(self._connection.blobs.OfferDownloads, request, LONG_S)
            found |= {offer.digest.hash: (offer.digest.size_bytes, offer.request) for offer in answer.offers}
        return found

    def tell(self, text: str) -> None:
        """Say something to whoever wants to know more."""
        self._progress.detail(text)

    def _probe(self) -> bool:
        try:
            answer = self._connection.unary(self._connection.blobs.ProbeBucket, ProbeBucketRequest())
        except ProtocolBroken as exc:
            if exc.reason != "UNIMPLEMENTED":  # an older service
                raise
            return False
        return self.bucket.is_reached(answer.request, answer.content)

    def _send(self, file: LargeFile) -> bool:
        """Send one file; False when the bucket does not take it."""
        in_parts = False
        for attempt in range(_ATTEMPTS):
            if attempt:
                threading.Event().wait(_BREAK_S * 2 ** (attempt - 1))
            begun = _Count(self._progress)
            try:
                self._send_once(file, begun, in_parts=in_parts)
            except (BucketTrouble, Unreachable, Unknown) as exc:
                self._progress.detail(f"{file.label}: {exc}; trying again")
                if not in_parts:
                    in_parts = begun.total > _LOST_BYTES_MAX
                begun.take_back()
                self._connection.refresh()
            except BaseException:
                begun.take_back()
                raise
            else:
                return True
        return False

    def _send_once(self, file: LargeFile, count: "_Count", *, in_parts: bool) -> None:
        offer = self._offer(file, in_parts=in_parts)
        if offer.held:
            self._finish(file, in_parts=in_parts, sha256=self._sha256(file))
            return
        if offer.HasField("request"):
            is_new = self._put_whole(file, offer.request, count)
            self._finish(file, in_parts=False, sha256="" if is_new else self._sha256(file))
            return
        count.add(offer.received_bytes)
        while offer.parts:
            come = offer.received_bytes
            self._put_parts(file, offer, count)
            offer = self._offer(file, in_parts=True)
            if offer.parts and offer.received_bytes <= come:
                raise BucketTrouble("the bucket does not keep what it was sent")
        self._progress.detail(f"{file.label}: the service reads it back and verifies it")
        # Parts are found by size and MD5: another content's may be among them.
        self._finish(file, in_parts=True, sha256=self._sha256(file))

    def _offer(self, file: LargeFile, *, in_parts: bool) -> UploadOffer:
        request = OfferUploadsRequest(digests=[file.digest], in_parts=in_parts)
        answer = self._connection.unary(self._connection.blobs.OfferUploads, request, LONG_S)
        if len(answer.offers) != 1 or answer.offers[0].digest.hash != file.digest.hash:
            raise ProtocolBroken("the service offers an upload of something else")
        return answer.offers[0]

    def _put_whole(self, file: LargeFile, request: SignedRequest, count: "_Count") -> bool:
        """Send all of it; False when something of this MD5 is there already."""
        part = self._part(file, 0, file.digest.size_bytes, count)
        try:
            status = self.bucket.put(request, part)
        finally:
            part.close()
        if status == _BAD_REQUEST:
            raise file.changed()
        if status not in {OK, ALREADY_THERE}:
            raise BucketTrouble(f"the bucket answered {status}")
        return status == OK

    def _put_parts(self, file: LargeFile, offer: UploadOffer, count: "_Count") -> None:
        def put(offset: int, size: int, request: SignedRequest) -> None:
            md5 = self._hash(file, offset, size, hashlib.md5(usedforsecurity=False))
            content_md5 = b64encode(md5.digest()).decode()
            part = self._part(file, offset, size, count)
            try:
                # Not signed, but checked: what a wire or a proxy breaks is refused.
                status = self.bucket.put(request, part, {"Content-MD5": content_md5})
            except BaseException:
                count.add(-part.passed)
                raise
            finally:
                part.close()
            if status != OK:
                raise BucketTrouble(f"the bucket answered {status}")

        with ThreadPoolExecutor(max_workers=_STREAMS) as pool:
            jobs = [pool.submit(put, part.offset, part.size_bytes, part.request) for part in offer.parts]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _sha256(self, file: LargeFile) -> str:
        """Taken only where it is needed: most files were never sent by anybody else."""
        self._progress.detail(f"{file.label}: comparing it with what the bucket has under its MD5")
        return self._hash(file, 0, file.digest.size_bytes, hashlib.sha256()).hexdigest()

    def _hash(self, file: LargeFile, offset: int, size: int, into: "hashlib._Hash") -> "hashlib._Hash":
        part = self._part(file, offset, size, None)
        try:
            while data := part.read():
                into.update(data)
        finally:
            part.close()
        return into

    def _part(self, file: LargeFile, offset: int, size: int, count: "_Count | None") -> FilePart:
        return FilePart(
            file.file,
            file.stamp,
            offset=offset,
            size=size,
            sent=count.add if count is not None else lambda _: None,
            changed=file.changed,
        )

    def _finish(self, file: LargeFile, *, in_parts: bool, sha256: str) -> None:
        request = FinishUploadRequest(digest=file.digest, in_parts=in_parts, sha256=sha256)
        call = self._connection.blobs.FinishUpload(request, metadata=self._connection.metadata())
        try:
            for _ in call:
                pass
        except grpc.RpcError as exc:
            fault = self._connection.fault(exc)
            if isinstance(fault, Invalid) and fault.reason == "BLOB_MISMATCH":
                raise file.changed() from exc
            if fault.reason == HASH_COLLISION:
                raise fault.about(file.label) from exc
            raise fault from exc
        finally:
            call.cancel()


class _Count:
    """What one attempt has sent; taken back from the progress when it was for nothing."""

    def __init__(self, progress: Progress) -> None:
        self.total = 0
        self._progress = progress
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        with self._lock:
            self.total += size
        self._progress.advance(size)

    def take_back(self) -> None:
        self._progress.advance(-self.total)


def _by_size(file: LargeFile) -> int:
    return -file.digest.size_bytes
