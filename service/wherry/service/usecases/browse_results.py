"""Look through the results that are known, compare two, keep one for good, or forget some."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import InvalidInput, ResultUnknown
from wherry.service.domain.explanation import Difference, compare
from wherry.service.domain.task import StrictKey
from wherry.service.ports.clock import Clock
from wherry.service.ports.result_catalog import CatalogTotals, ListedResult, ResultCatalog
from wherry.service.usecases.find_nearest_result import key_parts_of

_KEY = re.compile(r"[0-9a-f]{6,64}")
_KEY_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenResult:
    """A result with what is known of its content."""

    listed: ListedResult
    used_at: datetime
    held: bool
    """Whether the store holds all of its outputs."""


class BrowseResults:
    """What people ask about the run cache."""

    def __init__(self, *, catalog: ResultCatalog, clock: Clock) -> None:
        """Look in `catalog`."""
        self._catalog = catalog
        self._clock = clock

    async def page(
        self,
        *,
        match: str,
        user: str,
        pinned_only: bool,
        after: tuple[datetime, StrictKey] | None,
        limit: int,
    ) -> Sequence[SeenResult]:
        """Results, newest first."""
        found = await self._catalog.list_page(
            match=match, user=user, pinned_only=pinned_only, after=after, limit=limit
        )
        return await self._seen(found)

    async def get(self, key: str) -> SeenResult:
        """The one result whose key begins so.

        Raises:
            ResultUnknown: if there is none.
            InvalidInput: if there are several.
        """
        (seen,) = await self._seen([await self._find(key)])
        return seen

    async def compare(self, before: str, after: str) -> tuple[SeenResult, SeenResult, tuple[Difference, ...]]:
        """How the key of one differs from that of another."""
        first, second = await self.get(before), await self.get(after)
        differences = compare(key_parts_of(first.listed.result), key_parts_of(second.listed.result))
        return first, second, tuple(differences)

    async def totals(self, days: int) -> CatalogTotals:
        """Count; `days` 0: all runs."""
        if days < 0:
            raise InvalidInput(f"days cannot be {days}")
        since = self._clock.now() - timedelta(days=days) if days else None
        return await self._catalog.totals(since=since)

    async def remove(self, keys: Collection[str]) -> list[StrictKey]:
        """Forget results; one that is not known leaves all as they are."""
        found = [(await self._find(key)).result.key for key in keys]
        await self._catalog.remove(found)
        return found

    async def pin(self, key: str, *, pinned: bool) -> SeenResult:
        """Keep a result from being collected, or do not."""
        found = await self._find(key)
        await self._catalog.set_pinned(found.result.key, pinned=pinned)
        return await self.get(found.result.key)

    async def _find(self, key: str) -> ListedResult:
        if not _KEY.fullmatch(key):
            raise InvalidInput(
                f"{key[:80]!r} is not the key of a result",
                hint="It is what `wherry cache ls` lists: at least its first 6 digits.",
            )
        found = await self._catalog.find(key, limit=2)
        if not found:
            raise ResultUnknown(
                f"no result has the key {key}", hint="See those there are with: wherry cache ls"
            )
        if len(found) > 1 and len(key) < _KEY_LENGTH:
            raise InvalidInput(f"several results have keys that begin with {key}", hint="Give more digits.")
        return found[0]

    async def _seen(self, found: Sequence[ListedResult]) -> list[SeenResult]:
        outs = {out.hash for listed in found for out in listed.result.entry.outs}
        uses = await self._catalog.uses(outs)
        seen = []
        for listed in found:
            own: set[BlobHash] = {out.hash for out in listed.result.entry.outs}
            times = [uses[blob].used_at for blob in own if blob in uses]
            seen.append(
                SeenResult(
                    listed=listed,
                    used_at=max([listed.result.created_at, *times]),
                    held=own <= uses.keys(),
                )
            )
        return seen
