"""Files packed for the engine: one tar, in which only content and execute bits differ from build to build."""

import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from wherry.service.ports.images import Content

_IN_MEMORY_BYTES_MAX = 16 * 1024 * 1024


def pack(files: Mapping[str, Content]) -> IO[bytes]:
    """Pack files by relative path; all belong to root and anybody may read them. Close it when done."""
    packed = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES_MAX)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=packed, mode="w") as archive:
        made = set[str]()
        for path, content in sorted(files.items()):
            for folder in _folders_above(path):
                if folder not in made:
                    made.add(folder)
                    archive.addfile(_folder(folder))
            _add(archive, path, content)
    packed.seek(0)
    return packed


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _folder(path: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def _add(archive: tarfile.TarFile, path: str, content: Content) -> None:
    entry = tarfile.TarInfo(path)
    entry.mode = 0o755 if content.executable else 0o644
    if isinstance(content.source, Path):
        with content.source.open("rb") as file:
            entry.size = content.source.stat().st_size
            archive.addfile(entry, file)
    else:
        entry.size = len(content.source)
        archive.addfile(entry, io.BytesIO(content.source))
