"""See that every input which no stage makes is there: in the project, or in the store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wherry.service.domain.blob import TREE_SUFFIX, BlobHash
from wherry.service.domain.dvc.legacy_hash import may_be
from wherry.service.domain.dvc.reuse import may_stand_recorded
from wherry.service.domain.dvc.stage import ParamsDependency, SourceOutput, Stage, StageName
from wherry.service.domain.dvc.view import PlacedData
from wherry.service.domain.errors import DataChanged, DataMissing, PipelineInvalid, Place
from wherry.service.domain.near_paths import find_near_path
from wherry.service.domain.paths import PathSet, ProjectPath, is_inside_root, is_within
from wherry.service.domain.snapshot import SnapshotData
from wherry.service.domain.submission import DataNeed, Needs
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A path at which data must stand."""

    path: ProjectPath
    place: Place
    source: SourceOutput | None
    """What a .dvc file or, for an output, dvc.lock records; None: an ignored file that a stage reads."""
    is_tracked: bool = False
    """Whether it is selected data of a .dvc file, which must be what the file says."""
    is_optional: bool = False
    """Whether it need not be there: a persistent output, or a params file of which only the keys are missed."""


class CheckData:
    """Places the data that the selected stages stand on."""

    def __init__(
        self, *, index: BlobIndex, adopt: AdoptBlobs, adopt_legacy: AdoptLegacy, read: ReadBlobs
    ) -> None:
        """Ask `adopt`, `adopt_legacy` and `index` what the store holds; read folders whose size is not recorded."""
        self._adopt_legacy = adopt_legacy
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
        needs = [*_unseen(wanted, seen), *_undecided(wanted, seen)]
        if needs:
            return Needs(data=tuple(needs))
        for item in wanted:
            _check_usable(item, seen[item.path])
            _check_unchanged(item, seen[item.path])
        wanted = await self._with_contents(wanted, seen)
        held = await self._held(project, wanted, upload=upload)
        _check_present(wanted, project, held)
        if upload:
            lacking = [
                data.digest for item in wanted if (data := seen[item.path]) and data.digest.hash not in held
            ]
            if lacking:
                return Needs(blobs=tuple(dict.fromkeys(lacking)))
        return {
            item.path: await self._place(item, seen[item.path])
            for item in wanted
            if not _is_missing(item, seen, held)
        }

    async def _with_contents(
        self, wanted: Sequence[_Wanted], seen: Mapping[ProjectPath, SnapshotData | None]
    ) -> list[_Wanted]:
        """Put the hash of the content in the place of one of DVC 2, for what is nowhere but where DVC 2 pushed it."""
        names = {
            item.source.hash
            for item in wanted
            if item.source and item.source.is_legacy and item.source.hash and seen[item.path] is None
        }
        if not names:
            return list(wanted)
        own = await self._adopt_legacy(await self._adopt.find_missing(names))
        return [
            replace(item, source=replace(source, hash=own[source.hash], is_legacy=False))
            if (source := item.source) and source.is_legacy and source.hash and source.hash in own
            else item
            for item in wanted
        ]

    async def _held(self, project: Project, wanted: list[_Wanted], *, upload: bool) -> set[BlobHash]:
        """What the store holds of all that is wanted.

        Whatever .dvc files and locks name may have been pushed by DVC. The bucket is asked about it here, in one
        question for the whole submission: after this the index knows what there is.
        """
        seen = project.snapshot.data
        named = {
            item.source.hash
            for item in wanted
            if item.source and item.source.hash and (upload or seen[item.path] is None)
        }
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
        assert recorded.hash is not None, "what is recorded without a hash was seen, or is missing"
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
            yield _Wanted(out.project_path, out.place, out, is_tracked=True)
    for stage, path in _plain_inputs(project):
        yield _Wanted(path, stage.place, None)
    for stage, path in _hidden_params(project):
        yield _Wanted(path, stage.place, None, is_optional=True)
    yield from _from_unselected(project)
    for stage in project.stages:
        if stage.persistent_outs and not stage.frozen:
            persistent = {out.project_path for out in stage.persistent_outs}
            for path, recorded in _outputs_of(project, stage.name):
                if path in persistent:
                    yield _Wanted(path, stage.place, recorded, is_optional=True)


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
        if entry is not None and may_stand_recorded(stage, trusts_dvc=project.trusts_dvc):
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
                place=stage.place,
                hash=known.hash,
                total_bytes=known.size_bytes,
                nfiles=known.nfiles,
                executable=known.executable,
                is_legacy=known.is_legacy,
            ),
        )


def _plain_inputs(project: Project) -> Iterator[tuple[Stage, ProjectPath]]:
    """Inputs that stand neither in the project's files, nor come from a stage or a .dvc file.

    Raises:
        PipelineInvalid: if a folder outside the DVC root holds what a stage makes: nobody looks at its other files.
    """
    tracked = (out.project_path for source in project.pipeline.sources.values() for out in source.outs)
    known = PathSet((*project.pipeline.outputs, *tracked))
    files = PathSet(project.snapshot.files)
    listed = set[ProjectPath]()
    for stage in project.stages:
        for item in () if stage.frozen else stage.inputs:
            path = item.project_path
            if isinstance(item, ParamsDependency) and is_inside_root(path):
                continue  # of the project's files, or made by a stage; else its parameters are missing
            if not is_inside_root(path) and not known.covers(path) and known.touches(path):
                raise PipelineInvalid(
                    f"stage {stage.name!r} reads the folder {item.path!r} outside the DVC root, into which stages write",
                    hint="Name the files that it reads.",
                    place=item.place or stage.place,
                )
            if path not in listed and not known.touches(path) and not files.touches(path):
                listed.add(path)
                yield stage, path


def _hidden_params(project: Project) -> Iterator[tuple[Stage, ProjectPath]]:
    """Params files that are not among the project's own, nor made by a stage: .dvcignore or git hide them, if they are."""
    tracked = (out.project_path for source in project.pipeline.sources.values() for out in source.outs)
    known = PathSet((*project.pipeline.outputs, *tracked))
    listed = set[ProjectPath](project.snapshot.files)
    for stage in project.stages:
        for params in () if stage.frozen else stage.params:
            path = params.project_path
            if path not in listed and is_inside_root(path) and not known.covers(path):
                listed.add(path)
                yield stage, path


def _unseen(wanted: list[_Wanted], seen: Mapping[ProjectPath, SnapshotData | None]) -> Iterator[DataNeed]:
    for item in wanted:
        if item.path not in seen:
            recorded = item.source.hash if item.source else None
            yield DataNeed(path=item.path, recorded_hash=recorded or "", declared_in=str(item.place))


def _undecided(wanted: list[_Wanted], seen: Mapping[ProjectPath, SnapshotData | None]) -> Iterator[DataNeed]:
    """Tracked data of which only the hash of DVC 2 tells whether it is what the .dvc file says."""
    for item in wanted:
        data, recorded = seen.get(item.path), item.source
        if data is None or recorded is None or recorded.hash is None or data.legacy_hash is not None:
            continue
        if item.is_tracked and recorded.is_legacy and may_be(data.digest.hash, recorded.hash):
            yield DataNeed(
                path=item.path, recorded_hash=recorded.hash, declared_in=str(item.place), legacy=True
            )


def _check_usable(item: _Wanted, seen: SnapshotData | None) -> None:
    """Whatever is there: without a recorded MD5 nobody knows whether it is the data that is meant."""
    if not item.is_tracked or item.source is None or item.source.hash is not None:
        return
    file = item.place.path
    hint = f"To record what is in this folder: dvc commit {file}."
    if seen is None:
        hint = f"Bring it here with: dvc pull {file}, or, if it is an import, dvc update {file}. Then: dvc commit {file}."
    raise DataChanged(
        f"{file} records no MD5 of {item.path}: it cannot be told which data is meant",
        hint=hint,
        place=item.place,
    )


def _check_unchanged(item: _Wanted, seen: SnapshotData | None) -> None:
    if seen is None or item.source is None or not item.is_tracked:
        return
    if item.source.hash in {seen.digest.hash, seen.legacy_hash if item.source.is_legacy else None}:
        return
    raise DataChanged(
        f"{item.path} is not what {item.place.path} says",
        hint=f"To submit it as it is: dvc commit {item.place.path}. To go back to what is recorded: "
        f"dvc checkout --force {item.place.path}.",
        place=item.place,
    )


def _is_missing(item: _Wanted, seen: Mapping[ProjectPath, SnapshotData | None], held: set[BlobHash]) -> bool:
    return seen[item.path] is None and (item.source is None or item.source.hash not in held)


def _check_present(wanted: list[_Wanted], project: Project, held: set[BlobHash]) -> None:
    seen = project.snapshot.data
    missing = [item for item in wanted if not item.is_optional and _is_missing(item, seen, held)]
    if not missing:
        return
    names = ", ".join(f"{item.path} ({item.place})" for item in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""  # noqa: PLR2004 - as many as shown
    tracked = [item for item in missing if item.is_tracked]
    hint = (
        f"Bring it here with: dvc pull {tracked[0].place.path}. Or let somebody who has it submit once."
        if tracked
        else _what_was_meant(missing[0].path, project)
    )
    raise DataMissing(
        f"neither in this folder nor in the store: {names}{more}", hint=hint, place=missing[0].place
    )


def _what_was_meant(path: ProjectPath, project: Project) -> str:
    near = find_near_path(path, {*project.snapshot.files, *project.pipeline.outputs})
    asked = f"Did you mean {near!r}? Or make" if near else "Make"
    return f"{asked} the file, select the stage that makes it, or take it out of the deps."
