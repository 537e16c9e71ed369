"""The run cache and the index as people look through them, and as they are cleared: not for deciding about stages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.task import StrictKey
from wherry.service.ports.run_cache import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedResult:
    """A result, and whether somebody wants it kept."""

    result: Result
    pinned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobUse:
    """A blob of the index, and when it was last of use, to the day; before that, when it came."""

    hash: BlobHash
    size_bytes: int
    used_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogTotals:
    """How much there is."""

    results: int
    pinned: int
    blobs: int
    bytes: int
    runs: int
    """Of the time that was asked about, as the seconds."""
    compute_s: float
    saved_s: float
    packs: int
    packed_blobs: int
    """Looked for in packs; they may have objects of their own too."""
    packed_bytes: int


class ResultCatalog(Protocol):
    """Results and blobs in pages, and what people say about results."""

    async def list_page(
        self,
        *,
        match: str = "",
        user: str = "",
        pinned_only: bool = False,
        after: tuple[datetime, StrictKey] | None = None,
        limit: int,
    ) -> Sequence[ListedResult]:
        """Results newest first, those behind `after`; `match` is looked for in commands and paths."""
        ...

    async def find(self, beginning: str, *, limit: int) -> Sequence[ListedResult]:
        """Results whose keys begin so, at most `limit`; of several under one key the newest."""
        ...

    async def remove(self, keys: Collection[StrictKey]) -> None:
        """Forget results, and that they were pinned; harmless when they are not known."""
        ...

    async def set_pinned(self, key: StrictKey, *, pinned: bool) -> None:
        """Keep whether a result is to be kept; harmless to repeat."""
        ...

    async def totals(self, *, since: datetime | None) -> CatalogTotals:
        """Count; runs only since then."""
        ...

    async def uses(self, hashes: Collection[BlobHash]) -> dict[BlobHash, BlobUse]:
        """The uses of those blobs that are held. Any number; queries are cut into parts."""
        ...

    async def list_uses(self, *, after: BlobHash | None = None, limit: int) -> Sequence[BlobUse]:
        """Blobs of the index in the order of their names, behind `after`."""
        ...
