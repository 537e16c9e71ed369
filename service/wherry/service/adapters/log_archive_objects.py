"""Logs of results in the bucket: the LogArchive port.

One object a log, `wherry/logs/<name>.jsonl.gz`: lines as `<number> <JSON>`, compressed. DVC looks at nothing below `wherry/`.
"""

import asyncio
import gzip
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from wherry.service.adapters.log_lines_json import decode_line, encode_line
from wherry.service.domain.errors import LogGone
from wherry.service.domain.task import LogName
from wherry.service.ports.log_archive import LogArchive
from wherry.service.ports.logs import LogLine
from wherry.service.ports.objects import ObjectStore

_T = TypeVar("_T")

_PAGE = 500
# Logs are text: more effort buys a few percent.
_LEVEL = 6


class ObjectLogArchive(LogArchive):
    """Compresses into, and out of, files below one folder; memory stays flat."""

    def __init__(self, objects: ObjectStore, *, spool: Path, threads: int = 2) -> None:
        """Keep objects in `objects`, files that are under way in `spool`."""
        self._objects = objects
        self._spool = spool
        self._pool = ThreadPoolExecutor(threads, "log archive")

    async def keep(self, name: LogName, lines: AsyncIterator[Sequence[LogLine]]) -> None:
        """See the port."""
        with tempfile.NamedTemporaryFile(dir=self._spool, prefix="log-") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as packed:
                async for page in lines:
                    await self._in_thread(lambda page=page: packed.write(_pack(page)))  # type: ignore[misc]
            file.flush()
            await self._objects.put_file(_key(name), Path(file.name))

    async def read_after(self, name: LogName, sequence: int) -> AsyncIterator[Sequence[LogLine]]:
        """See the port."""
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="log-") as folder:
            path = Path(folder) / "log"
            if not await self._objects.get_file(_key(name), path):
                raise LogGone(f"what the command wrote is not kept any more ({name})")
            with gzip.open(path, "rb") as packed:
                numbered = (line for line in _unpack(cast(BinaryIO, packed)) if line.sequence > sequence)
                while page := await self._in_thread(lambda: list(itertools.islice(numbered, _PAGE))):
                    yield page

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, action: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, action)


def _key(name: LogName) -> str:
    return f"wherry/logs/{name}.jsonl.gz"


def _pack(lines: Sequence[LogLine]) -> bytes:
    return b"".join(b"%d %s" % (line.sequence, encode_line(line.line)) for line in lines)


def _unpack(file: BinaryIO) -> Iterator[LogLine]:
    for line in file:
        number, _, record = line.partition(b" ")
        yield LogLine(sequence=int(number), line=decode_line(record))
