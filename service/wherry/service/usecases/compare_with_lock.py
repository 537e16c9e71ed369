"""Compare a submitted project with its dvc.lock files, as `dvc status` compares a folder.

What stands where is what the client saw; it is asked about everything that git does not know. Where it saw nothing,
data counts as it is recorded if the store holds it: a clone without data is not a changed project.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wherry.service.domain.blob import BlobHash, Digest
from wherry.service.domain.dvc.changes import (
    StageChanges,
    Workspace,
    find_changes,
    find_source_changes,
    recorded_data,
)
from wherry.service.domain.dvc.legacy_hash import as_recorded, undecided
from wherry.service.domain.dvc.lockfile import parse_lock
from wherry.service.domain.dvc.params import ParamsParser, find_params
from wherry.service.domain.dvc.project_files import lock_path
from wherry.service.domain.dvc.stage import DataSource, Stage, StageName
from wherry.service.domain.dvc.view import PathOrder, PlacedData, ProjectView
from wherry.service.domain.paths import ROOT, ProjectPath, Surroundings, is_inside_root
from wherry.service.domain.records import FileEntry, StageEntry
from wherry.service.domain.submission import DataNeed, Needs, Selection, Submission
from wherry.service.domain.tree import Tree
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.usecases.adopt_blobs import AdoptBlobs
from wherry.service.usecases.adopt_legacy import AdoptLegacy
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project, ReadProject


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A project against its locks."""

    changes: Mapping[StageName, StageChanges]
    """Of all stages and data sources that were asked for, changed or not."""
    around: Surroundings
    unseen: Mapping[StageName, tuple[str, ...]]
    """Of stages, what nobody looked at because it lies outside the repository, as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """All that is known while stages are compared."""

    project: Project
    stages: Sequence[Stage]
    sources: Sequence[DataSource]
    recorded: Mapping[StageName, StageEntry]
    stored: ProjectView
    """Recorded data that the store holds."""
    contents: dict[ProjectPath, bytes | None] = field(default_factory=dict)
    """Of params files."""
    parser: ParamsParser = field(default_factory=ParamsParser)
    legacy: dict[BlobHash, BlobHash] = field(default_factory=dict)
    """Hashes of DVC 2, as far as the comparison needs them."""

    def entry(self, written: str, path: ProjectPath) -> FileEntry | None:
        """What stands at a path here, else in the store."""
        snapshot = self.project.snapshot
        if path in snapshot.files:
            file = snapshot.files[path]
            return FileEntry(path=written, hash=file.hash, size_bytes=file.size_bytes)
        seen = snapshot.data.get(path)
        if seen is not None:
            return FileEntry(path=written, hash=seen.digest.hash, size_bytes=seen.total_bytes)
        return self.stored.resolve(written, path)

    def undecided(self) -> Iterable[tuple[FileEntry, ProjectPath]]:
        """What stands where something is recorded under a hash of DVC 2 that is not its own."""
        items: list[Stage | DataSource] = [*self.stages, *self.sources]
        for item in items:
            for recorded, paths in self._pairs(item):
                if not any(file.is_legacy for file in recorded):
                    continue
                found = [entry for written, path in paths.items() if (entry := self.entry(written, path))]
                for entry in undecided(recorded, found):
                    yield entry, paths[entry.path]

    def _pairs(
        self, item: Stage | DataSource
    ) -> Iterable[tuple[Sequence[FileEntry], Mapping[str, ProjectPath]]]:
        """What is recorded, beside the paths of which it is recorded."""
        outs = {out.path: out.project_path for out in item.outs}
        if isinstance(item, DataSource):
            yield recorded_data(item), outs
        elif item.name in self.recorded:
            entry = self.recorded[item.name]
            if not item.frozen:
                yield entry.deps, {dep.path: dep.project_path for dep in item.deps}
            yield entry.outs, outs


class CompareWithLock:
    """Finds out what stands where, and compares."""

    def __init__(
        self,
        *,
        read_project: ReadProject,
        index: BlobIndex,
        sources: FindSources,
        adopt: AdoptBlobs,
        read: ReadBlobs,
        legacy: FindLegacyHashes,
        adopt_legacy: AdoptLegacy,
    ) -> None:
        """Ask `index`, and about recorded data the two that adopt, what the store holds; read through `read`.

        Whether a file of the project can be read `sources` says.
        """
        self._adopt_legacy = adopt_legacy
        self._adopt = adopt
        self._read_project = read_project
        self._index = index
        self._sources = sources
        self._read = read
        self._legacy = legacy

    async def __call__(self, submission: Submission) -> Comparison | Needs:
        """Compare the targets; without any the whole project, wherever in it the working folder is.

        Raises:
            PipelineInvalid: if a file of the project is wrong.
            StageUnknown: if a target names nothing.
        """
        everything = not submission.targets
        selection = Selection(all_pipelines=everything, single_item=not everything)
        project = await self._read_project(replace(submission, selection=selection))
        if isinstance(project, Needs):
            return project
        pipeline = project.pipeline
        stages = tuple(pipeline.stages.values()) if everything else project.stages
        sources = tuple(pipeline.sources.values()) if everything else project.sources
        unseen = [
            need
            for need in _needed(project.snapshot.around, stages, sources)
            if not _is_seen(project, need.path)
        ]
        if unseen:
            return Needs(data=tuple({need.path: need for need in unseen}.values()))
        recorded = await self._recorded(project, pipeline.stages.values())
        scene = _Scene(
            project=project,
            stages=stages,
            sources=sources,
            recorded=recorded,
            stored=await self._stored(project, stages, recorded),
        )
        lacking = await self._read_params_files(scene)
        unknown = await self._find_legacy_hashes(scene)
        if lacking or unknown:
            return Needs(blobs=tuple(lacking), data=tuple(unknown))
        around = submission.snapshot.around
        out_of_reach = {stage.name: _unseen(around, stage) for stage in stages}
        out_of_reach |= {source.name: source.origins for source in sources}
        return Comparison(changes=_compare(scene), around=around, unseen=out_of_reach)

    async def _recorded(self, project: Project, stages: Iterable[Stage]) -> dict[StageName, StageEntry]:
        entries: dict[ProjectPath, Mapping[str, StageEntry]] = {}
        for file in {stage.file for stage in stages}:
            path = lock_path(file)
            if path in project.snapshot.files:
                content = await self._read.read_dvc_file(project.snapshot.files[path].hash)
                entries[file] = parse_lock(content, path)
        return {
            stage.name: entries[stage.file][stage.key]
            for stage in stages
            if stage.file in entries and stage.key in entries[stage.file]
        }

    async def _stored(
        self, project: Project, stages: Sequence[Stage], recorded: Mapping[StageName, StageEntry]
    ) -> ProjectView:
        """Place what locks and .dvc files record, as far as the store holds it."""
        placed = dict(_recorded_data(project, recorded))
        # The bucket is asked only about what the project lacks.
        await self._adopt.find_missing(
            {data.hash for path, data in placed.items() if _is_absent(project, path)}
        )
        missing = await self._index.find_missing({data.hash for data in placed.values()})
        lacking = {data.hash for path, data in placed.items() if _is_absent(project, path)}
        own = await self._adopt_legacy(missing & lacking & _legacy_names(project, recorded))
        placed = {
            path: replace(data, hash=own.get(data.hash, data.hash))
            for path, data in placed.items()
            if data.hash not in missing or data.hash in own
        }
        order = PathOrder(placed)
        bare = ProjectView(files={}, placed=placed, placed_order=order)
        # Only where nothing stands does the store count, so only there trees are read.
        read = [dep.project_path for stage in stages for dep in stage.deps]
        read += [params.project_path for stage in stages for params in stage.params]
        absent = [path for path in read if _is_absent(project, path)]
        trees: dict[BlobHash, Tree] = {}
        for blob in set[BlobHash]().union(*(bare.trees_needed(path) for path in absent)):
            trees[blob] = await self._read.read_tree(blob)
        loaded = replace(bare, trees=trees)
        members = set[BlobHash]().union(*(loaded.sizes_needed(path) for path in absent))
        sizes = {blob: record.size_bytes for blob, record in (await self._index.find(members)).items()}
        return replace(loaded, sizes=sizes)

    async def _find_legacy_hashes(self, scene: _Scene) -> list[DataNeed]:
        """Put those that matter into the scene; return the data of which the client has to tell."""
        unknown: dict[ProjectPath, DataNeed] = {}
        held: dict[BlobHash, Tree | None] = {}
        for entry, path in scene.undecided():
            seen = scene.project.snapshot.data.get(path)
            if path in scene.project.snapshot.files or seen is None:
                held[entry.hash] = scene.stored.tree(path) if seen is None else None
            elif seen.legacy_hash is None:
                unknown[path] = DataNeed(path=path, recorded_hash="", declared_in="", legacy=True)
            else:
                scene.legacy[entry.hash] = seen.legacy_hash
        if not unknown:
            trees = {blob: tree for blob, tree in held.items() if tree is not None}
            scene.legacy.update(await self._legacy(held, trees))
        return list(unknown.values())

    async def _read_params_files(self, scene: _Scene) -> list[Digest]:
        """Read them all into the scene; return those that must be uploaded first."""
        paths = {params.project_path for stage in scene.stages for params in stage.params}
        entries = {path: scene.entry(path, path) for path in paths}
        missing = await self._sources.find_missing({entry.hash for entry in entries.values() if entry})
        lacking: dict[BlobHash, Digest] = {}
        for path, entry in entries.items():
            if entry is None:
                scene.contents[path] = None
            elif entry.hash in missing:
                lacking[entry.hash] = Digest(entry.hash, entry.size_bytes)
            else:
                scene.contents[path] = await self._read.read_dvc_file(entry.hash)
        return list(lacking.values())


def _compare(scene: _Scene) -> dict[StageName, StageChanges]:
    changes = {
        stage.name: find_changes(stage, _workspace(scene, stage), scene.recorded.get(stage.name))
        for stage in scene.stages
    }
    for source in scene.sources:
        paths = {out.path: out.project_path for out in source.outs}
        outs = _standing(scene, paths, recorded_data(source))
        changes[source.name] = find_source_changes(source, Workspace(outs=outs))
    return changes


def _standing(
    scene: _Scene, paths: Mapping[str, ProjectPath], recorded: Sequence[FileEntry]
) -> dict[str, FileEntry | None]:
    """What stands at paths, under hashes of DVC 2 where those are recorded and still right."""
    entries = [entry for written, path in paths.items() if (entry := scene.entry(written, path))]
    found = {entry.path: entry for entry in as_recorded(entries, recorded, scene.legacy)}
    return {written: found.get(written) for written in paths}


def _workspace(scene: _Scene, stage: Stage) -> Workspace:
    recorded = scene.recorded.get(stage.name)
    return Workspace(
        deps=_standing(
            scene, {dep.path: dep.project_path for dep in stage.deps}, recorded.deps if recorded else ()
        ),
        params=find_params(stage, scene.contents, scene.parser),
        outs=_standing(
            scene, {out.path: out.project_path for out in stage.outs}, recorded.outs if recorded else ()
        ),
        unseen=_unseen(scene.project.snapshot.around, stage),
    )


def _unseen(around: Surroundings, stage: Stage) -> tuple[str, ...]:
    items = (*stage.inputs, *stage.outs)
    return tuple(item.path for item in items if not _is_in_reach(around, item.project_path))


def _is_in_reach(around: Surroundings, path: ProjectPath) -> bool:
    return is_inside_root(path) or around.reach(path)


def _needed(
    around: Surroundings, stages: Sequence[Stage], sources: Sequence[DataSource]
) -> Iterable[DataNeed]:
    for stage in stages:
        paths = [item.project_path for item in (*stage.inputs, *stage.outs)]
        for path in (path for path in paths if _is_in_reach(around, path)):
            yield DataNeed(path=path, recorded_hash="", declared_in=str(stage.place))
    for source in sources:
        for out in source.outs:
            yield DataNeed(path=out.project_path, recorded_hash=out.hash or "", declared_in=str(source.place))


def _is_seen(project: Project, path: ProjectPath) -> bool:
    # Nobody is asked to hash the whole project as one piece of data.
    return path == ROOT or path in project.snapshot.files or path in project.snapshot.data


def _is_absent(project: Project, path: ProjectPath) -> bool:
    return path not in project.snapshot.files and project.snapshot.data.get(path) is None


def _legacy_names(project: Project, recorded: Mapping[StageName, StageEntry]) -> set[BlobHash]:
    """Hashes of DVC 2 under which something is recorded."""
    sources = (out for source in project.pipeline.sources.values() for out in source.outs)
    tracked = {out.hash for out in sources if out.is_legacy and out.hash}
    return tracked.union(out.hash for entry in recorded.values() for out in entry.outs if out.is_legacy)


def _recorded_data(
    project: Project, recorded: Mapping[StageName, StageEntry]
) -> Iterable[tuple[ProjectPath, PlacedData]]:
    for source in project.pipeline.sources.values():
        for out in source.outs:
            if out.hash is not None:
                data = PlacedData(hash=out.hash, total_bytes=out.total_bytes or 0, nfiles=out.nfiles)
                yield out.project_path, data
    for name, entry in recorded.items():
        made = {out.path: out for out in entry.outs}
        for declared in project.pipeline.stages[name].outs:
            if declared.path in made:
                out_entry = made[declared.path]
                yield (
                    declared.project_path,
                    PlacedData(
                        hash=out_entry.hash, total_bytes=out_entry.size_bytes, nfiles=out_entry.nfiles
                    ),
                )
