"""Asks which of many blobs the store lacks: by their MD5s, packed; of an older service, and of trees, by digests."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from wherry.client.connection import LONG_S, Connection
from wherry.client.data import TREE_SUFFIX
from wherry.v1.blobs_pb2 import BlobDigest, FindMissingBlobsRequest

_DIGESTS_PER_CALL = 10_000
_HASHES_PER_CALL = 25_000


def find_missing(connection: Connection, blobs: Iterable[str], *, sources: bool = False) -> set[str]:
    """The ones that are not held; with `sources` they are files of the project and nothing else.

    Raises:
        ClientError: as the service says.
    """
    wanted = dict.fromkeys(blobs)
    trees = [blob for blob in wanted if blob.endswith(TREE_SUFFIX)]
    for tree in trees:
        del wanted[tree]
    asking = _Asking(connection, sources=sources)
    # In order: what stands side by side in its index the service finds one after the other.
    missing = asking.in_parts(asking.packed, sorted(wanted), _HASHES_PER_CALL)
    return missing | asking.in_parts(asking.by_digest, trees, _DIGESTS_PER_CALL)


class _Asking:
    """The calls of one question."""

    def __init__(self, connection: Connection, *, sources: bool) -> None:
        self._connection = connection
        self._sources = sources
        self._is_old = False

    def in_parts(
        self, ask: Callable[[Sequence[str]], Iterable[str]], blobs: Sequence[str], length: int
    ) -> set[str]:
        """Two calls at once: one is written and read here while the service answers the other."""
        parts = [blobs[start : start + length] for start in range(0, len(blobs), length)]
        with ThreadPoolExecutor(max_workers=2) as pool:
            return set(chain.from_iterable(pool.map(ask, parts)))

    def packed(self, hashes: Sequence[str]) -> Iterable[str]:
        if not self._is_old:
            request = FindMissingBlobsRequest(hashes=bytes.fromhex("".join(hashes)), sources=self._sources)
            answer = self._connection.unary(self._connection.blobs.FindMissingBlobs, request, LONG_S)
            if answer.looked_up == len(hashes):
                return [hashes[place] for place in answer.missing_hashes]
            self._is_old = True
        parts = range(0, len(hashes), _DIGESTS_PER_CALL)
        return chain.from_iterable(
            self.by_digest(hashes[start : start + _DIGESTS_PER_CALL]) for start in parts
        )

    def by_digest(self, blobs: Sequence[str]) -> Iterable[str]:
        request = FindMissingBlobsRequest(
            digests=[BlobDigest(hash=blob) for blob in blobs], sources=self._sources
        )
        answer = self._connection.unary(self._connection.blobs.FindMissingBlobs, request, LONG_S)
        return [digest.hash for digest in answer.missing]
