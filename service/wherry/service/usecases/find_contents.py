"""Find the content of files and folders of a revision: where it stands, else where it is recorded and held."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.dvc.project_results import RecordedOutput
from wherry.service.domain.dvc.view import PlacedData, ProjectView
from wherry.service.domain.limits import DVC_FILE_BYTES_MAX
from wherry.service.domain.paths import PathSet, ProjectPath, is_inside_root, is_within
from wherry.service.domain.snapshot import Snapshot
from wherry.service.domain.submission import DataNeed, Needs
from wherry.service.domain.tree import Tree
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.read_blobs import ReadBlobs


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """One file of a revision."""

    path: ProjectPath
    digest: Digest | None
    """None: nothing stands there, and nothing that is recorded is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What a revision of a project consists of."""

    snapshot: Snapshot
    outputs: Sequence[RecordedOutput]
    """What counts where the snapshot has nothing."""
    made: Mapping[ProjectPath, PlacedData | None]
    """What counts before the snapshot, for it was made after it was taken; None: it has yet to be made."""
    is_open: bool = True
    """Whether a client is there to look for more."""


class FindContents:
    """Looks for files in a snapshot, with the client, and in the store."""

    def __init__(self, *, index: BlobIndex, adopt: AdoptBlobs, sources: FindSources, read: ReadBlobs) -> None:
        """Ask `adopt`, about recorded data, and `sources` what is held; read through `read`."""
        self._index = index
        self._adopt = adopt
        self._sources = sources
        self._read = read

    async def __call__(
        self, revision: Revision, wanted: Iterable[ProjectPath]
    ) -> Mapping[ProjectPath, Sequence[FoundFile]] | Needs:
        """For each path the file that stands there, or the files of the folder; Needs when the client has to look."""
        paths = list(dict.fromkeys(wanted))
        placed, needs = self._place(revision, paths)
        if needs:
            return Needs(data=tuple({need.path: need for need in needs}.values()))
        recorded = {out.path: out.hash for out in revision.outputs if out.hash is not None}
        unsure = {data.hash for path, data in placed.items() if recorded.get(path) == data.hash}
        unheld = await self._adopt.find_missing(unsure) if unsure else set()
        seen = revision.snapshot.data
        placed = {path: data for path, data in placed.items() if data.hash not in unheld or seen.get(path)}
        missing = await self._sources.missing_of(
            [
                found.digest
                for path in placed
                if (found := seen.get(path)) is not None and path not in revision.made
            ]
        )
        if missing:
            return Needs(blobs=tuple(dict.fromkeys(missing)))
        hidden = {path for path, made in revision.made.items() if made is None}
        files = {
            path: file
            for path, file in revision.snapshot.files.items()
            if not any(is_within(path, folder) for folder in hidden)
        }
        view = await self._load(ProjectView(files=files, placed=placed), paths)
        return {path: _files_at(view, revision.snapshot, path) for path in paths}

    async def read(
        self, revision: Revision, found: Iterable[FoundFile]
    ) -> Mapping[ProjectPath, bytes] | Needs:
        """Read files that were found; those that are longer than what Wherry reads are left out.

        Raises:
            BlobMissing: if content has gone from the store.
        """
        files = [
            file for file in found if file.digest is not None and file.digest.size_bytes <= DVC_FILE_BYTES_MAX
        ]
        own = [file.digest for file in files if file.digest is not None and _is_own(revision, file.path)]
        missing = await self._sources.missing_of(own)
        if missing:
            return Needs(blobs=tuple(dict.fromkeys(missing)), are_sources=True)
        contents = await asyncio.gather(
            *(self._read.read_dvc_file(file.digest.hash) for file in files if file.digest is not None)
        )
        return {file.path: content for file, content in zip(files, contents, strict=True)}

    async def held(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """Those whose content is in the bucket still, whatever the index says of objects; of packs it is right."""
        wanted = {file.digest.hash for file in found if file.digest is not None}
        there = set(await self._adopt.sizes_in_bucket(wanted)) | await self._sources.packed(wanted)
        return [file for file in found if file.digest is not None and file.digest.hash in there]

    def _place(
        self, revision: Revision, paths: Sequence[ProjectPath]
    ) -> tuple[dict[ProjectPath, PlacedData], list[DataNeed]]:
        """Say what is placed over the project's own files, and what the client has yet to look at."""
        snapshot, files = revision.snapshot, PathSet(revision.snapshot.files)
        placed = {path: data for path, data in revision.made.items() if data is not None}
        needs: list[DataNeed] = []
        for path in paths:
            if any(is_within(path, made) or is_within(made, path) for made in revision.made):
                continue
            if files.touches(path) or not snapshot.around.reach(path):
                continue
            near = [out for out in revision.outputs if is_within(path, out.path) or is_within(out.path, path)]
            inside = [out for out in near if out.path != path and is_within(out.path, path)]
            asked = {out.path: out.hash for out in inside} or {
                path: next((out.hash for out in near if out.path == path), None)
            }
            for place, hash_ in asked.items():
                if place not in snapshot.data and revision.is_open:
                    needs.append(DataNeed(path=place, recorded_hash=hash_ or "", declared_in="dvc.yaml"))
                    continue
                seen = snapshot.data.get(place)
                if seen is not None:
                    placed[place] = PlacedData(
                        hash=seen.digest.hash, total_bytes=seen.total_bytes, nfiles=seen.nfiles
                    )
                else:
                    placed |= {
                        out.path: PlacedData(
                            hash=out.hash, total_bytes=out.size_bytes or 0, nfiles=out.nfiles
                        )
                        for out in near
                        if out.hash is not None and is_within(place, out.path) and out.path not in placed
                    }
        return placed, needs

    async def _load(self, view: ProjectView, paths: Sequence[ProjectPath]) -> ProjectView:
        blobs = set[BlobHash]().union(*(view.trees_needed(path) for path in paths))
        blobs |= {
            view.placed[path].hash for path in paths if path in view.placed and view.placed[path].is_tree
        }
        trees: dict[BlobHash, Tree] = {blob: await self._read.read_tree(blob) for blob in blobs}
        loaded = replace(view, trees=trees)
        members = set[BlobHash]().union(*(tree.hashes() for tree in trees.values()))
        sizes = {blob: record.size_bytes for blob, record in (await self._index.find(members)).items()}
        return replace(loaded, sizes=sizes)


def _files_at(view: ProjectView, snapshot: Snapshot, path: ProjectPath) -> tuple[FoundFile, ...]:
    if not is_inside_root(path) and path not in view.placed:
        file = snapshot.file_at(path)
        digest = None if file is None else Digest(file.hash, file.size_bytes)
        return (FoundFile(path=path, digest=digest),)
    tree = view.tree(path)
    if tree is not None and tree.entries:
        return tuple(
            FoundFile(path=below, digest=Digest(entry.hash, _size(view, below, entry.hash)))
            for entry in tree.entries
            for below in [ProjectPath(f"{path}/{entry.path}")]
        )
    data = view.placed.get(path)
    if data is not None and not data.is_tree:
        return (FoundFile(path=path, digest=Digest(data.hash, data.total_bytes)),)
    entry = view.resolve(path, path) if tree is None else None
    digest = None if entry is None else Digest(entry.hash, entry.size_bytes)
    return (FoundFile(path=path, digest=digest),)


def _size(view: ProjectView, path: ProjectPath, blob: BlobHash) -> int:
    file = view.files.get(path)
    if file is not None:
        return file.size_bytes
    data = view.placed.get(path)
    return data.total_bytes if data is not None else view.sizes.get(blob, 0)


def _is_own(revision: Revision, path: ProjectPath) -> bool:
    """Whether the client has it: of all other content it is known by now that it is held."""
    return path not in revision.made and path in revision.snapshot.files
