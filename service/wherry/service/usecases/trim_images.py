"""Keep images that were made within a bound: what was not used for longest goes, never what is in use."""

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from wherry.service.domain.errors import Unavailable
from wherry.service.ports.clock import Clock
from wherry.service.ports.event_log import EventLog
from wherry.service.ports.images import ImageUses, MadeImage, MadeImages

_NEVER = datetime.fromtimestamp(0, UTC)


class TrimImages:
    """Removes images that this service has made; they are made again when a stage needs them."""

    def __init__(
        self, *, made: MadeImages, uses: ImageUses, clock: Clock, log: EventLog, bytes_max: int
    ) -> None:
        """Keep at most `bytes_max`, layers that others share not counted."""
        self._made = made
        self._uses = uses
        self._clock = clock
        self._log = log
        self._bytes_max = bytes_max
        self.removing = asyncio.Lock()
        """Held while an image goes: who needs one says that it is in use, and then looks, with this."""

    async def note_use(self, name: str) -> None:
        """Remember that an image was used now."""
        await self._uses.note(name, self._clock.now())

    async def __call__(self, in_use: Callable[[], Collection[str]]) -> None:
        """Remove until the bound is kept, or only what is in use is left. An engine that does not answer is no harm."""
        try:
            images, used = await self._made.list_made(), await self._uses.all()
            excess = sum(image.own_bytes for image in images) - self._bytes_max
            for image in sorted(images, key=lambda image: used.get(image.name, _NEVER)):
                if excess <= 0:
                    break
                excess -= await self._remove(image, in_use)
        except Unavailable as exc:
            self._log.warning("images were not trimmed", reason=exc.message)

    async def _remove(self, image: MadeImage, in_use: Callable[[], Collection[str]]) -> int:
        """Bytes that have come free."""
        async with self.removing:
            if image.has_containers or image.name in in_use():
                return 0
            await self._made.remove_made(image.name)
        await self._uses.forget(image.name)
        self._log.info("image removed", image=image.name, size_bytes=image.own_bytes)
        return image.own_bytes
