"""When images were used last, in a file: the ImageUses port."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

# A service that runs thousands of stages an hour need not write as often.
_WRITE_AGAIN = timedelta(minutes=1)


class FileImageUses:
    """One file, of one service."""

    def __init__(self, path: Path) -> None:
        """Keep them in `path`; a file that cannot be read counts as empty."""
        self._path = path
        self._lock = asyncio.Lock()
        self._uses: dict[str, datetime] | None = None

    async def note(self, name: str, at: datetime) -> None:
        """Remember a use, to the minute."""
        async with self._lock:
            uses = await self._read()
            if name not in uses or at - uses[name] >= _WRITE_AGAIN:
                uses[name] = at
                await asyncio.to_thread(self._write, dict(uses))

    async def forget(self, name: str) -> None:
        """Drop what is known of an image."""
        async with self._lock:
            uses = await self._read()
            if uses.pop(name, None) is not None:
                await asyncio.to_thread(self._write, dict(uses))

    async def all(self) -> Mapping[str, datetime]:
        """The last use of each."""
        async with self._lock:
            return dict(await self._read())

    async def _read(self) -> dict[str, datetime]:
        if self._uses is None:
            self._uses = await asyncio.to_thread(_read, self._path)
        return self._uses

    def _write(self, uses: Mapping[str, datetime]) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({name: at.isoformat() for name, at in uses.items()}))
        temporary.replace(self._path)


def _read(path: Path) -> dict[str, datetime]:
    try:
        return {str(name): datetime.fromisoformat(at) for name, at in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
