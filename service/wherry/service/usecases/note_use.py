"""Keep that blobs are of use, for whoever collects those that are not."""

import asyncio
from collections.abc import Iterable

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import Unavailable
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.packs import PackIndex


class NoteUse:
    """Notes uses behind the back of those who report them, many in one statement.

    A blob is of use when a run is accepted that it is part of, as a file of the project or as data, and when it is
    an output of a stage that succeeded, computed or known. Plans, uploads and downloads do not count.
    """

    def __init__(self, *, index: BlobIndex, packs: PackIndex, log: EventLog) -> None:
        """Keep the uses in both, wherever a blob is known."""
        self._packs = packs
        self._index = index
        self._log = log
        self._pending: set[BlobHash] = set()
        self._writing: asyncio.Task[None] | None = None

    def __call__(self, hashes: Iterable[BlobHash]) -> None:
        """Report uses; returns at once. What comes while others are being written is written together."""
        self._pending.update(hashes)
        if self._pending and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write(), name="note use")

    async def close(self) -> None:
        """Return when all that was reported is kept."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, set()
            try:
                await self._index.note_use(batch)
                await self._packs.note_use(batch)
            except Unavailable as exc:
                # A use that is not kept is noted with the next one; no run has to fail for it.
                self._log.warning("uses of blobs were not kept", blobs=len(batch), reason=exc.message)
