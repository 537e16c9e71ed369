"""Make a stage ready: find the content of every input, and from that the keys of its result."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from wherry.service.domain.blob import BlobHash
from wherry.service.domain.dvc.ignore import IgnoreRules
from wherry.service.domain.dvc.legacy_hash import as_recorded, undecided
from wherry.service.domain.dvc.params import ParamsParser, read_params
from wherry.service.domain.dvc.reuse import is_cacheable
from wherry.service.domain.dvc.stage import Stage, StageName
from wherry.service.domain.dvc.view import PathOrder, PlacedData, ProjectView
from wherry.service.domain.errors import DataMissing, PipelineInvalid
from wherry.service.domain.images.image import Image, NamedImage
from wherry.service.domain.keys import strict_key
from wherry.service.domain.network import NetworkPolicy
from wherry.service.domain.paths import ROOT, PathSet, ProjectPath, is_within, resolve_project_path
from wherry.service.domain.reads import ProjectFiles
from wherry.service.domain.records import FileEntry, Params, StageEntry
from wherry.service.domain.snapshot import SnapshotFile
from wherry.service.domain.task import InputData, RunId, StageTask
from wherry.service.domain.tree import Tree
from wherry.service.ports.blob_index import BlobIndex
from wherry.service.usecases.find_legacy_hashes import FindLegacyHashes
from wherry.service.usecases.find_recorded import FindRecorded
from wherry.service.usecases.one_reader import OneReader
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.read_project import Project


@dataclass(slots=True, kw_only=True)
class ProjectState:
    """What stands where in a project while its stages get their outputs. One run owns it."""

    project: Project
    placed: dict[ProjectPath, PlacedData]
    """Data and outputs, growing as stages succeed."""
    images: Mapping[StageName, Image]
    named: tuple[NamedImage, ...] = ()
    """What the names of images stand for, for as long as the run lasts."""
    files: Mapping[ProjectPath, SnapshotFile]
    """The project's own files without what stages write: that comes from the stages."""
    project_files: ProjectFiles = field(init=False, repr=False)
    """The same as one."""
    outputs: PathSet = field(init=False, repr=False)
    """Where the stages of the whole pipeline write."""
    ignore: IgnoreRules
    """What of folders does not count."""
    previous: Mapping[ProjectPath, PlacedData] = field(default_factory=dict)
    """What persistent outputs of selected stages were at the beginning; only their own stage sees it."""
    trees: dict[BlobHash, Tree] = field(default_factory=dict)
    """Contents of trees that were needed so far."""
    parser: ParamsParser = field(default_factory=ParamsParser)
    params_files: dict[BlobHash, bytes] = field(default_factory=dict)
    """Contents of params files that were needed so far."""
    sizes: dict[BlobHash, int] = field(default_factory=dict)
    """Sizes in bytes of members of trees that were needed so far."""
    reading: OneReader = field(default_factory=OneReader, repr=False)
    """Through which contents are read: stages that go side by side need the same ones."""
    view: ProjectView = field(init=False, repr=False)
    """The project as it stands, which changes with it; sizes of members of trees as far as they are loaded."""
    _placed_order: PathOrder = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Sort the paths once for all stages."""
        self.project_files = ProjectFiles(self.files)
        self.outputs = PathSet(self.project.pipeline.outputs)
        self._placed_order = PathOrder(self.placed)
        self.view = ProjectView(
            files=self.project.snapshot.files,
            placed=self.placed,
            trees=self.trees,
            sizes=self.sizes,
            file_order=PathOrder(self.project.snapshot.files),
            placed_order=self._placed_order,
        )

    def placed_for(self, stage: Stage) -> dict[ProjectPath, BlobHash]:
        """The data and outputs that the inputs of a stage are, lie in or hold, and what it goes on with."""
        found = {at: self.placed[at].hash for path in _input_paths(stage) for at in self.placed_around(path)}
        for out in stage.persistent_outs:
            if out.project_path in self.previous:
                found[out.project_path] = self.previous[out.project_path].hash
        return found

    def placed_around(self, path: ProjectPath) -> Iterator[ProjectPath]:
        """Where data is placed that holds a path, is it, or lies below it, from the top."""
        parts = path.split("/")
        at_or_above = (ROOT, *(ProjectPath("/".join(parts[:end])) for end in range(1, len(parts) + 1)))
        yield from (at for at in dict.fromkeys(at_or_above) if at in self.placed)
        yield from self._placed_order.below(path)

    legacy: dict[BlobHash, BlobHash] = field(default_factory=dict)
    """Hashes of DVC 2 that were needed so far, by that of the content."""

    def add_outputs(self, stage: Stage, entry: StageEntry) -> None:
        """Place what a stage produced."""
        entries = {out.path: out for out in entry.outs}
        for out in stage.outs:
            made = entries[out.path]
            self._placed_order.add(out.project_path)
            self.placed[out.project_path] = PlacedData(
                hash=made.hash,
                total_bytes=made.size_bytes,
                nfiles=made.nfiles,
                executable=made.executable,
            )


class ResolveStage:
    """Computes the inputs and keys of stages whose producers have their outputs."""

    def __init__(
        self,
        *,
        index: BlobIndex,
        read: ReadBlobs,
        legacy: FindLegacyHashes,
        recorded: FindRecorded,
        network: NetworkPolicy,
    ) -> None:
        """With `network` as the operator's word on networks; `recorded` says what dvc.lock does."""
        self._recorded = recorded
        self._index = index
        self._read = read
        self._legacy = legacy
        self._network = network

    async def __call__(
        self, state: ProjectState, stage: Stage, *, run_id: RunId, use_cache: bool, forced: bool
    ) -> StageTask:
        """Make the task of one stage. `forced` says whether dvc.lock counts for nothing.

        Raises:
            DataMissing: if an input is nowhere.
            PipelineInvalid: if parameters are missing or a params file is wrong.
        """
        await self.load(state, (stage,))
        # Both now: while something else is awaited, what is loaded may cease to be what is needed.
        deps, params = _deps(state, stage), _params(state, stage)
        return self._task(
            state,
            stage,
            deps,
            params,
            run_id=run_id,
            use_cache=use_cache,
            forced=forced,
            recorded=await self._recorded(state.project, stage, _previous(state, stage)),
            legacy_deps=await self._legacy_deps(state, stage, deps),
        )

    async def load(self, state: ProjectState, stages: Collection[Stage]) -> None:
        """Read what is needed to resolve these: of many stages it is mostly the same."""
        view, paths = state.view, {item.project_path for stage in stages for item in stage.inputs}
        await self._read_trees(state, set[BlobHash]().union(*map(view.trees_needed, paths)))
        members = set[BlobHash]().union(*map(view.sizes_needed, paths)) - state.sizes.keys()
        if members:
            records = await self._index.find(members)
            state.sizes.update((blob, record.size_bytes) for blob, record in records.items())
        await self._read_params_files(state, {one.project_path for stage in stages for one in stage.params})

    def at_once(self, state: ProjectState, stage: Stage, *, run_id: RunId) -> StageTask | None:
        """Make the task of a stage that is loaded and may use what is known; None where more must be found out first.

        That is so where dvc.lock has hashes of DVC 2.

        Raises:
            DataMissing: as when called.
            PipelineInvalid: as when called.
        """
        recorded = state.project.recorded(stage)
        if recorded is not None and any(file.is_legacy for file in (*recorded.deps, *recorded.outs)):
            return None
        return self._task(
            state,
            stage,
            _deps(state, stage),
            _params(state, stage),
            run_id=run_id,
            use_cache=True,
            forced=False,
            recorded=recorded,
        )

    def _task(  # noqa: PLR0913 - every part has its name
        self,
        state: ProjectState,
        stage: Stage,
        deps: tuple[FileEntry, ...],
        params: Params,
        *,
        run_id: RunId,
        use_cache: bool,
        forced: bool,
        recorded: StageEntry | None,
        legacy_deps: tuple[FileEntry, ...] | None = None,
    ) -> StageTask:
        project = state.project
        settings = project.settings[stage.name]
        network, withheld = self._network.gives(settings.network)
        image = state.images[stage.name]
        previous = _previous(state, stage)
        return StageTask(
            run_id=run_id,
            user=project.submission.user,
            project=project.submission.project,
            stage=stage,
            deps=deps,
            legacy_deps=legacy_deps,
            params=params,
            image=image,
            environment=settings.env,
            network=network,
            network_withheld=withheld,
            settings=settings,
            key=strict_key(
                stage,
                deps=deps,
                params=params,
                environment=settings.env,
                image=image,
                network=network,
                ignored=state.ignore.fingerprint,
                previous=previous,
                root_at=project.snapshot.around.prefix,
            ),
            files=state.files,
            data=(*_inputs(state, stage), *_persistent_data(state, stage)),
            previous=previous,
            root_at=project.snapshot.around.prefix,
            ignore=state.ignore,
            use_cache=use_cache,
            forced=forced,
            cacheable=is_cacheable(stage),
            recorded=recorded,
            trusts_dvc=project.trusts_dvc,
            project_files=state.project_files,
        )

    async def _read_trees(self, state: ProjectState, needed: set[BlobHash]) -> None:
        async def read() -> None:
            for blob in needed - state.trees.keys():
                state.trees[blob] = await self._read.read_tree(blob)

        await state.reading.until(lambda: needed <= state.trees.keys(), read)

    async def _read_params_files(self, state: ProjectState, paths: Iterable[ProjectPath]) -> None:
        entries = (state.view.resolve(path, path) for path in paths)
        # A folder is refused when the stage is resolved, which says who names it.
        needed = {entry.hash for entry in entries if entry is not None and entry.nfiles is None}

        async def read() -> None:
            for blob in needed - state.params_files.keys():
                state.params_files[blob] = await self._read.read_dvc_file(blob)

        await state.reading.until(lambda: needed <= state.params_files.keys(), read)

    async def _legacy_deps(
        self, state: ProjectState, stage: Stage, deps: tuple[FileEntry, ...]
    ) -> tuple[FileEntry, ...] | None:
        recorded = state.project.recorded(stage)
        if recorded is None or not any(dep.is_legacy for dep in recorded.deps):
            return None
        wanted = {dep.path: dep.hash for dep in undecided(recorded.deps, deps)}
        trees = {
            wanted[dep.path]: tree
            for dep in stage.deps
            if dep.path in wanted and (tree := state.view.tree(dep.project_path)) is not None
        }
        state.legacy |= await self._legacy(set(wanted.values()) - state.legacy.keys(), trees)
        written = as_recorded(deps, recorded.deps, state.legacy)
        return written if written != deps else None


def open_state(
    project: Project,
    placed: dict[ProjectPath, PlacedData],
    images: Mapping[StageName, Image],
    ignore: IgnoreRules,
    *,
    named: tuple[NamedImage, ...] = (),
) -> ProjectState:
    """Begin with the data that no stage makes, and with what persistent outputs are so far."""
    outputs = PathSet(project.pipeline.outputs)
    files = {path: file for path, file in project.snapshot.files.items() if not outputs.covers(path)}
    persistent = {out.project_path for stage in project.stages for out in stage.persistent_outs}
    return ProjectState(
        project=project,
        # Those who read from the stage wait for what it makes of them.
        placed={path: data for path, data in placed.items() if path not in persistent},
        images=images,
        named=named,
        files=files,
        ignore=ignore,
        previous={path: data for path, data in placed.items() if path in persistent},
    )


def _deps(state: ProjectState, stage: Stage) -> tuple[FileEntry, ...]:
    found = []
    for dep in stage.deps:
        entry = state.view.resolve(dep.path, dep.project_path)
        if entry is None:
            raise DataMissing(
                f"stage {stage.name!r} depends on {dep.path!r}, which does not exist",
                hint="Is it written by a stage that does not declare it as an output?",
                place=stage.place,
            )
        found.append(entry)
    return tuple(sorted(found, key=lambda dep: dep.path))


def _params(state: ProjectState, stage: Stage) -> Params:
    contents: dict[ProjectPath, bytes | None] = {}
    for params in stage.params:
        entry = state.view.resolve(params.path, params.project_path)
        if entry is not None and entry.nfiles is not None:
            raise PipelineInvalid(
                f"stage {stage.name!r}: the params file {params.path!r} is a folder", place=stage.place
            )
        contents[params.project_path] = None if entry is None else state.params_files[entry.hash]
    return read_params(stage, contents, state.parser)


def _previous(state: ProjectState, stage: Stage) -> dict[str, FileEntry | None]:
    found = {out.path: state.previous.get(out.project_path) for out in stage.persistent_outs}
    return {path: None if data is None else data.as_entry(path) for path, data in found.items()}


def _persistent_data(state: ProjectState, stage: Stage) -> Iterator[InputData]:
    for out in stage.persistent_outs:
        data = state.previous.get(out.project_path)
        if data is not None:
            yield InputData(
                project_path=out.project_path, hash=data.hash, executable=data.executable, writable=True
            )


def _inputs(state: ProjectState, stage: Stage) -> Iterable[InputData]:
    """Placed data at, below or above each input; of a folder above, only the members asked for."""
    found: dict[ProjectPath, InputData] = {}
    for path in _input_paths(stage):
        for at in state.placed_around(path):
            data = state.placed[at]
            if is_within(at, path):
                found[at] = InputData(project_path=at, hash=data.hash, executable=data.executable)
            elif data.nfiles is not None:
                inner = path if at == ROOT else path[len(at) + 1 :]
                for entry in state.trees[data.hash].at_or_below(inner):
                    member = resolve_project_path(at, entry.path)
                    found[member] = InputData(project_path=member, hash=entry.hash)
    return found.values()


def _input_paths(stage: Stage) -> list[ProjectPath]:
    return [item.project_path for item in stage.inputs]
