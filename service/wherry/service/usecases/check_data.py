"""See that every input which no stage makes is there: in the project, or in the store."""

from collections.abc import Iterator
from dataclasses import dataclass

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.dvc.stage import Dependency, SourceOutput, Stage, StageName
from wherry.service.domain.dvc.view import PlacedData
from wherry.service.domain.errors import DataChanged, DataMissing, Place
from wherry.service.domain.paths import PathSet, ProjectPath, is_within
from wherry.service.domain.snapshot import SnapshotData
from wherry.service.domain.submission import DataNeed, Needs
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project
from wherry.service.usecases.resolve_stage import may_stand_recorded


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A path at which data must stand."""

    path: ProjectPath
    place: Place
    source: SourceOutput | None
    """What a .dvc file or, for an output, dvc.lock records; None: an ignored file that a stage reads."""
    is_tracked: bool = False
    """Whether it is selected data of a .dvc file, which must be what the file says."""


class CheckData:
    """Places the data that the selected stages stand on."""

    def __init__(self, *, index: BlobIndex, adopt: AdoptBlobs, read: ReadBlobs) -> None:
        """Ask `adopt` and `index` what the store holds; read folders whose size no .dvc file records."""
        self._index = index
        self._adopt = adopt
        self._read = read

    async def __call__(self, project: Project, *, upload: bool) -> dict[ProjectPath, PlacedData] | Needs:
        """Return what stands where; Needs when the client has to look or to upload.

        With `upload` false (a plan) hashes are enough and the content may be missing.

        Raises:
            DataMissing: if something is nowhere; all of them are named.
            DataChanged: if tracked data is not what its .dvc file says.
        """
        wanted = list(_wanted(project))
        seen = project.snapshot.data
        unseen = [item for item in wanted if item.path not in seen]
        if unseen:
            return Needs(data=tuple(_need(item) for item in unseen))
        for item in wanted:
            _check_unchanged(item, seen[item.path])
        held = await self._held(project, wanted, upload=upload)
        _check_present(wanted, project, held)
        if upload:
            lacking = [
                data.digest for item in wanted if (data := seen[item.path]) and data.digest.hash not in held
            ]
            if lacking:
                return Needs(blobs=tuple(dict.fromkeys(lacking)))
        return {item.path: await self._place(item, seen[item.path]) for item in wanted}

    async def _held(self, project: Project, wanted: list[_Wanted], *, upload: bool) -> set[BlobHash]:
        """What the store holds of all that is wanted.

        Whatever .dvc files and locks name may have been pushed by DVC. The bucket is asked about it here, in one
        question for the whole submission: after this the index knows what there is.
        """
        seen = project.snapshot.data
        named = {item.source.hash for item in wanted if item.source and (upload or seen[item.path] is None)}
        here = {data.digest.hash for item in wanted if (data := seen[item.path])}
        missing = await self._adopt.find_missing(named | set(_recorded_outputs(project)))
        return (named | here) - missing - await self._index.find_missing(here)

    async def _place(self, item: _Wanted, seen: SnapshotData | None) -> PlacedData:
        if seen is not None:
            # A DVC cache does not know which files may be executed; who records the same content does.
            known = (
                item.source is not None and item.source.hash == seen.digest.hash and item.source.executable
            )
            return PlacedData(
                hash=seen.digest.hash,
                total_bytes=seen.total_bytes,
                nfiles=seen.nfiles,
                executable=seen.executable or known,
            )
        recorded = item.source
        assert recorded is not None, "what no .dvc file records was seen, or is missing"
        total_bytes, nfiles = recorded.total_bytes, recorded.nfiles
        if recorded.hash.endswith(TREE_SUFFIX):
            # DVC before 1.9 recorded neither.
            if total_bytes is None or nfiles is None:
                total_bytes, nfiles = await self._measure(recorded.hash)
        elif total_bytes is None:
            total_bytes = (await self._index.find([recorded.hash]))[recorded.hash].size_bytes
        return PlacedData(
            hash=recorded.hash, total_bytes=total_bytes, nfiles=nfiles, executable=recorded.executable
        )

    async def _measure(self, tree_hash: BlobHash) -> tuple[int, int]:
        """Sum of sizes and number of files of a folder that the store holds."""
        entries = (await self._read.read_tree(tree_hash)).entries
        records = await self._index.find({entry.hash for entry in entries})
        return sum(records[entry.hash].size_bytes for entry in entries), len(entries)


def _wanted(project: Project) -> Iterator[_Wanted]:
    for source in project.sources:
        for out in source.outs:
            yield _Wanted(out.project_path, source.place, out, is_tracked=True)
    for stage, dep in _plain_inputs(project):
        yield _Wanted(dep.project_path, stage.place, None)
    yield from _from_unselected(project)


def _from_unselected(project: Project) -> Iterator[_Wanted]:
    """Inputs that stages or .dvc files make which are not selected (`-s`, `--downstream`): they stand as they are."""
    pipeline, selected, listed = project.pipeline, set(project.selected), set[ProjectPath]()
    for stage in project.stages:
        paths = [dep.project_path for dep in stage.deps] + [params.project_path for params in stage.params]
        for name in () if stage.frozen else pipeline.upstream[stage.name]:
            if name in selected:
                continue
            for path, source in _outputs_of(project, name):
                is_read = any(is_within(path, read) or is_within(read, path) for read in paths)
                if is_read and path not in listed:
                    listed.add(path)
                    yield _Wanted(path, stage.place, source)


def _recorded_outputs(project: Project) -> Iterator[BlobHash]:
    """Outputs that may be taken from dvc.lock instead of being made."""
    for stage in project.stages:
        entry = project.recorded(stage)
        if entry is not None and may_stand_recorded(stage):
            yield from (out.hash for out in entry.outs)


def _outputs_of(project: Project, name: StageName) -> Iterator[tuple[ProjectPath, SourceOutput | None]]:
    stage = project.pipeline.stages.get(name)
    if stage is None:
        for out in project.pipeline.sources[name].outs:
            yield out.project_path, out
        return
    # The lock of another dvc.yaml is read only when stages of it are selected.
    entry = project.recorded(stage) if stage.file in project.locks else None
    recorded = {out.path: out for out in entry.outs} if entry else {}
    for made in stage.outs:
        known = recorded.get(made.path)
        yield (
            made.project_path,
            None
            if known is None
            else SourceOutput(
                path=made.path,
                project_path=made.project_path,
                hash=BlobHash(known.hash),
                total_bytes=known.size_bytes,
                nfiles=known.nfiles,
                executable=known.executable,
            ),
        )


def _plain_inputs(project: Project) -> Iterator[tuple[Stage, Dependency]]:
    """Inputs that stand neither in the project's files, nor come from a stage or a .dvc file."""
    tracked = (out.project_path for source in project.pipeline.sources.values() for out in source.outs)
    known = PathSet((*project.pipeline.outputs, *tracked))
    files = PathSet(project.snapshot.files)
    listed = set[ProjectPath]()
    for stage in project.stages:
        for dep in () if stage.frozen else stage.deps:
            path = dep.project_path
            if path not in listed and not known.touches(path) and not files.touches(path):
                listed.add(path)
                yield stage, dep


def _need(item: _Wanted) -> DataNeed:
    return DataNeed(
        path=item.path,
        recorded_hash=item.source.hash if item.source else "",
        declared_in=str(item.place),
    )


def _check_unchanged(item: _Wanted, seen: SnapshotData | None) -> None:
    if seen is None or item.source is None or not item.is_tracked or seen.digest.hash == item.source.hash:
        return
    if item.source.is_legacy:
        hint = "DVC 2 wrote its hash, which leaves out Windows line ends. Renew it: dvc cache migrate --dvc-files."
    else:
        hint = (
            f"To submit it as it is: dvc commit {item.place.path}. To go back to what is recorded: "
            f"dvc checkout --force {item.place.path}."
        )
    raise DataChanged(
        f"{item.path} is not what {item.place.path} says",
        hint=hint,
        place=item.place,
    )


def _check_present(wanted: list[_Wanted], project: Project, held: set[BlobHash]) -> None:
    missing = [
        item
        for item in wanted
        if project.snapshot.data[item.path] is None and (item.source is None or item.source.hash not in held)
    ]
    if not missing:
        return
    names = ", ".join(f"{item.path} ({item.place})" for item in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""  # noqa: PLR2004 - as many as shown
    tracked = [item for item in missing if item.is_tracked]
    hint = (
        f"Bring it here with: dvc pull {tracked[0].place.path}. Or let somebody who has it submit once."
        if tracked
        else "Make the file, select the stage that makes it, or take it out of the deps."
    )
    raise DataMissing(
        f"neither in this folder nor in the store: {names}{more}", hint=hint, place=missing[0].place
    )
