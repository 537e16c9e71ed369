"""Where content that comes is written to: beside its final name, until all of it has come and is right."""

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from wherry.client.downloading import Sink
from wherry.client.dvc_cache import DvcCache, move

# Held in memory until it is verified, for each of a few streams.
_SHORT_BYTES_MAX = 1024 * 1024


class FileSink(Sink):
    """Writes beside the final name, then renames: readers see the old file or the new one."""

    def __init__(self, targets: Sequence[tuple[Path, bool]]) -> None:
        """Take the final names, at least one, each with whether it is executable."""
        self._targets = targets
        self._temporary = self._name_beside(self._targets[0][0])
        self._stream = _create(self._temporary, executable=self._targets[0][1])

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._stream.write(data)

    def take(self, file: Path, _copy: Path | None) -> None:
        """Take a whole file with the content."""
        with file.open("rb") as source:
            shutil.copyfileobj(source, self._stream)
        self.commit()

    def commit(self) -> None:
        """Show it."""
        self._stream.close()
        try:
            for target, executable in self._targets[1:]:
                copy = self._name_beside(target)
                try:
                    with _create(copy, executable=executable) as output, self._temporary.open("rb") as source:
                        shutil.copyfileobj(source, output)
                    copy.replace(target)
                finally:
                    copy.unlink(missing_ok=True)
            self._temporary.replace(self._targets[0][0])
        finally:
            self._temporary.unlink(missing_ok=True)

    def abort(self) -> None:
        """Leave nothing behind."""
        self._stream.close()
        self._temporary.unlink(missing_ok=True)

    @staticmethod
    def _name_beside(target: Path) -> Path:
        # Short, because the name itself may be as long as the file system takes.
        return target.with_name(f".wherry-{secrets.token_hex(8)}.tmp")


class CacheSink(Sink):
    """Keeps content in DVC's cache, and then puts it where it is wanted. Short content has no file before."""

    def __init__(self, cache: DvcCache, blob: str, check_out: Callable[[bytes | Path | None], None]) -> None:
        """Take who puts it where it is wanted, once it is kept: it gets short content, or a copy, or None."""
        self._cache = cache
        self._blob = blob
        self._check_out = check_out
        self._short: list[bytes] = []
        self._size = 0
        self._temporary: Path | None = None
        self._stream: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        if self._stream is None and self._size <= _SHORT_BYTES_MAX:
            self._short.append(data)
            return
        if self._stream is None:
            self._temporary = self._cache.new_file(self._blob)
            self._stream = _create(self._temporary, executable=False)
            self._stream.writelines(self._short)
            self._short.clear()
        self._stream.write(data)

    def take(self, file: Path, copy: Path | None) -> None:
        """Take a whole file with the content, and perhaps a copy of it for the workspace."""
        self._temporary = self._cache.new_file(self._blob)
        move(file, self._temporary)
        self._keep(self._temporary, copy)

    def commit(self) -> None:
        """Show it."""
        if self._stream is None or self._temporary is None:
            content = b"".join(self._short)
            self._cache.keep_content(self._blob, content)
            self._check_out(content)
        else:
            self._stream.close()
            self._keep(self._temporary, None)

    def _keep(self, temporary: Path, copy: Path | None) -> None:
        try:
            self._cache.keep(self._blob, temporary)
        finally:
            temporary.unlink(missing_ok=True)
        self._check_out(copy)

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._stream is not None:
            self._stream.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


def _create(file: Path, *, executable: bool) -> IO[bytes]:
    # The user's umask decides the rest of the mode, as for any new file.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if executable else 0o666)
    return os.fdopen(descriptor, "wb")
