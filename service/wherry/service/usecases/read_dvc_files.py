"""Hand the contents of a project's DVC files to something that reads them, fetching only what it asks for."""

import asyncio
from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeVar

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.context import FilesNeeded, Load
from wherry.service.domain.dvc.ignore import Hidden
from wherry.service.domain.dvc.project_files import DvcFiles, find_dvc_files
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.snapshot import Snapshot
from wherry.service.domain.submission import DataNeed, Needs
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.read_blobs import ReadBlobs

AnswerT = TypeVar("AnswerT")


class ReadDvcFiles:
    """Reads files of a snapshot for a pure function that says which it lacks. Data is not looked at."""

    def __init__(self, *, sources: FindSources, read: ReadBlobs) -> None:
        """Ask `sources` what is held, and read through `read`."""
        self._sources = sources
        self._read = read

    async def __call__(self, snapshot: Snapshot, ask: Callable[[DvcFiles, Load], AnswerT]) -> AnswerT | Needs:
        """Call `ask` until it has all it needs; Needs when the store lacks a file.

        `ask` runs in a thread: to find all mistakes a large file is read many times.

        Raises:
            TooMany: if a file is larger than what Wherry reads.
        """
        files = find_dvc_files(snapshot.files, snapshot.around)
        contents: dict[ProjectPath, bytes] = {}

        @cache
        def hidden() -> Hidden:
            return Hidden({path: contents[path] for path in files.ignores})

        def load(path: ProjectPath) -> bytes | None:
            if path not in contents and (hidden().must_be_seen(path, snapshot) or snapshot.file_at(path)):
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
        # What was asked for and is no file of the project has yet to be looked for.
        unseen = [path for path in paths if path not in snapshot.files and path not in snapshot.data]
        if unseen:
            return Needs(
                data=tuple(DataNeed(path=path, recorded_hash="", declared_in="dvc.yaml") for path in unseen)
            )
        wanted = {path: file for path in paths if (file := snapshot.file_at(path)) is not None}
        missing = await self._sources.missing_of(
            [Digest(file.hash, file.size_bytes) for file in wanted.values()]
        )
        if missing:
            return Needs(blobs=tuple(dict.fromkeys(missing)), are_sources=True)
        for path, file in wanted.items():
            contents[path] = await self._read.read_project_file(path, file)
        return None
