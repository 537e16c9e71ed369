"""Record the SHA-256 of content that somebody else put into the bucket, once this node has read it."""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import HashCollision, Unavailable
from wherry.service.ports.blob_index import BlobIndex, BlobRecord
from wherry.service.ports.event_log import EventLog


class RecordContent:
    """Is told what was fetched, and looks behind the back of the fetching whether that was seen before.

    Nothing waits for it. What it does not come to, because the service stops or the node's copy goes, is recorded when
    it is fetched again. A tree that is read before it is recorded as held stays without one.
    """

    def __init__(self, *, index: BlobIndex, log: EventLog) -> None:
        """Keep in `index` what was seen."""
        self._index = index
        self._log = log
        self._pending: dict[BlobHash, Path] = {}
        self._working: asyncio.Task[None] | None = None

    def __call__(self, blob: BlobHash, path: Path) -> None:
        """Report a file whose content was compared with its MD5; returns at once."""
        self._pending[blob] = path
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="record content")

    async def settle(self) -> None:
        """Return when all that was reported has been looked at."""
        if self._working is not None:
            await self._working

    async def close(self) -> None:
        """Give up what was not begun."""
        self._pending.clear()
        await self.settle()

    async def _work(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, {}
            try:
                held = await self._index.find(batch.keys())
                unseen = {
                    blob: path for blob, path in batch.items() if blob in held and not held[blob].sha256
                }
                if unseen:
                    await self._index.add(await asyncio.to_thread(_records, unseen))
            except (Unavailable, HashCollision) as exc:
                self._log.warning("content was not recorded", blobs=len(batch), reason=exc.message)


def _records(files: Mapping[BlobHash, Path]) -> list[BlobRecord]:
    records = []
    for blob, path in files.items():
        # The node may have made room. If its disk fails, whoever reads from it will say so.
        with contextlib.suppress(OSError), path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            records.append(BlobRecord(hash=blob, size_bytes=file.tell(), sha256=sha256))
    return records
