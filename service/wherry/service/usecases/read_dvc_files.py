"""Hand the contents of a project's DVC files to something that reads them, fetching only what it asks for."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.context import FilesNeeded, Load
from wherry.service.domain.dvc.project_files import DvcFiles, find_dvc_files
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import Snapshot
from wherry.service.domain.submission import Needs
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs

AnswerT = TypeVar("AnswerT")


class ReadDvcFiles:
    """Reads files of a snapshot for a pure function that says which it lacks. Data is not looked at."""

    def __init__(self, *, put: PutBlobs, read: ReadBlobs) -> None:
        """Ask `put` what is held, and read through `read`."""
        self._put = put
        self._read = read

    async def __call__(self, snapshot: Snapshot, ask: Callable[[DvcFiles, Load], AnswerT]) -> AnswerT | Needs:
        """Call `ask` until it has all it needs; Needs when the store lacks a file.

        `ask` runs in a thread: to find all mistakes a large file is read many times.

        Raises:
            TooMany: if a file is larger than what Wherry reads.
        """
        files = find_dvc_files(snapshot.files)
        contents: dict[ProjectPath, bytes] = {}

        def load(path: ProjectPath) -> bytes | None:
            if path in snapshot.files and path not in contents:
                raise FilesNeeded([path])
            return contents.get(path)

        wanted: Iterable[ProjectPath] = files.all
        while True:
            needs = await self._fetch(snapshot, wanted, contents)
            if needs is not None:
                return needs
            try:
                return await asyncio.to_thread(ask, files, load)
            except FilesNeeded as exc:
                wanted = exc.paths

    async def _fetch(
        self, snapshot: Snapshot, paths: Iterable[ProjectPath], contents: dict[ProjectPath, bytes]
    ) -> Needs | None:
        wanted = {path: snapshot.files[path] for path in paths}
        missing = await self._put.find_missing(
            [Digest(file.hash, file.size_bytes) for file in wanted.values()]
        )
        if missing:
            return Needs(blobs=tuple(dict.fromkeys(missing)))
        for path, file in wanted.items():
            contents[path] = await self._read.read_project_file(path, file)
        return None
