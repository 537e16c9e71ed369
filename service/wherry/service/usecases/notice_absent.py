"""Forget what turns out to have gone from the bucket when somebody wants to read it."""

import asyncio

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.errors import Unavailable
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.ports.event_log import EventLog
from wherry.service.usecases.forget_blobs import ForgetBlobs


class NoticeAbsent:
    """Is told what could not be fetched, and forgets it behind the back of who reads.

    Then the next submission asks for it, or runs what made it.
    """

    def __init__(self, *, forget: ForgetBlobs, index: BlobIndex, log: EventLog) -> None:
        """Forget through `forget` what `index` believes to be held; tell in `log`."""
        self._forget = forget
        self._index = index
        self._log = log
        self._noticed: set[BlobHash] = set()
        self._working: asyncio.Task[None] | None = None

    def __call__(self, blob: BlobHash) -> None:
        """Report a blob that the bucket did not have when somebody wanted to read it; returns at once."""
        self._noticed.add(blob)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="notice absent")

    async def settle(self) -> None:
        """Return when all that was reported has been looked at."""
        if self._working is not None:
            await self._working

    async def close(self) -> None:
        """Give up what was not begun."""
        self._noticed.clear()
        await self.settle()

    async def _work(self) -> None:
        while self._noticed:
            batch, self._noticed = self._noticed, set()
            try:
                # Anybody may ask for any hash: only what was believed to be held is forgotten.
                believed = list(await self._index.find(batch))
                if believed:
                    await self._forget.vanished(believed)
                    self._log.warning(
                        "blobs have gone from the bucket", blobs=len(believed), first=min(believed)
                    )
            except Unavailable as exc:
                self._log.warning("what has gone was not forgotten", blobs=len(batch), reason=exc.message)
