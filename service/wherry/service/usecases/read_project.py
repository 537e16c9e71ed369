"""Read a submitted project: its pipeline, settings and locks, or what is needed to read them."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.context import FilesNeeded
from wherry.service.domain.dvc.data_file import parse_data_file
from wherry.service.domain.dvc.dvc_config import CONFIG_FILE, ParsingSettings, parse_parsing_settings
from wherry.service.domain.dvc.graph import build_pipeline
from wherry.service.domain.dvc.ignore import Hidden
from wherry.service.domain.dvc.outside_paths import find_obstacle
from wherry.service.domain.dvc.pipeline_file import PIPELINE_FILE_NAME
from wherry.service.domain.dvc.project_files import find_dvc_files, lock_path
from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage, StageName
from wherry.service.domain.dvc.targets import select_stages
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import PathSet, ProjectPath
from wherry.service.domain.records import StageEntry
from wherry.service.domain.settings import (
    SETTINGS_FILE,
    ProjectSettings,
    StageSettings,
    parse_settings_file,
    parse_stage_settings,
)
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.domain.submission import DataNeed, Needs, Submission
from wherry.service.usecases.find_sources import FindSources
from wherry.service.usecases.parsed_files import ParsedFiles
from wherry.service.usecases.read_blobs import ReadBlobs
from wherry.service.usecases.set_params import SetParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A dvc.lock of the project."""

    path: ProjectPath
    content: bytes | None
    """None: the project has none."""
    entries: Mapping[str, StageEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A submitted project, read and checked."""

    submission: Submission
    snapshot: Snapshot
    """With parameter changes applied."""
    changed_params: Mapping[ProjectPath, str]
    """Params files that were set or composed, with the hash that was submitted; empty: there was none."""
    pipeline: Pipeline
    selected: tuple[StageName, ...]
    """Stages and data sources, in topological order."""
    settings: Mapping[StageName, StageSettings]
    """For each selected stage, all levels merged but the server's default."""
    locks: Mapping[ProjectPath, Lock]
    """By the path of the dvc.yaml beside it."""
    trusts_dvc: bool = False
    """Whether what laptops recorded may stand for running a stage."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The selected stages, without data sources."""
        return tuple(self.pipeline.stages[name] for name in self.selected if name in self.pipeline.stages)

    @property
    def sources(self) -> tuple[DataSource, ...]:
        """The selected data sources."""
        return tuple(self.pipeline.sources[name] for name in self.selected if name in self.pipeline.sources)

    def recorded(self, stage: Stage) -> StageEntry | None:
        """What dvc.lock says of a stage."""
        return self.locks[stage.file].entries.get(stage.key)


class ReadProject:
    """Turns a submission into a project. Runs nothing and keeps nothing but changed params files."""

    def __init__(self, *, sources: FindSources, read: ReadBlobs, set_params: SetParams) -> None:
        """Ask `sources` what is held, read through `read`, and change parameters with `set_params`."""
        self._sources = sources
        self._read = read
        self._set_params = set_params
        self._parsed = ParsedFiles()

    async def __call__(self, submission: Submission) -> Project | Needs:
        """Read the project; Needs when files of it are not held yet.

        Raises:
            PipelineInvalid: if a file of it is wrong, with its place.
            StageUnknown: if a target names no stage.
        """
        submitted = submission.snapshot
        if unseen := self._set_params.unseen(submission):
            return _to_be_seen(unseen, "-S/--set-param")
        # First what says which files are outputs: nobody needs those, where no .gitignore keeps them away.
        read = [*find_dvc_files(submitted.files).all, *self._set_params.files_read(submission)]
        needs = await self._lacking(file for path in read if (file := submitted.file_at(path)) is not None)
        if needs is not None:
            return needs
        snapshot, changed = await self._set_params(submission)
        pipeline = await self._read_pipeline(snapshot)
        if isinstance(pipeline, Needs):
            return pipeline
        snapshot = without_data(snapshot, pipeline, kept=changed)
        needs = await self._lacking(snapshot.files.values())
        if needs is not None:
            return needs
        selected = select_stages(
            pipeline,
            submission.targets,
            submission.working_folder,
            submission.selection,
            files=snapshot.files,
        )
        stages = [pipeline.stages[name] for name in selected if name in pipeline.stages]
        settings = await self._read_settings(snapshot)
        return Project(
            submission=submission,
            snapshot=snapshot,
            changed_params=changed,
            pipeline=pipeline,
            selected=selected,
            settings=_stage_settings(submission, settings.defaults, stages),
            locks=await self._read_locks(snapshot, {stage.file for stage in stages}),
            trusts_dvc=settings.trust_dvc,
        )

    async def _read_pipeline(self, snapshot: Snapshot) -> Pipeline | Needs:
        files, around = snapshot.files, snapshot.around
        found = find_dvc_files(files)
        # What templating always reads comes along; what else it needs it says.
        wanted = [*found.pipelines, *found.sources, *found.values, *found.ignores]
        contents = await self._contents(files, wanted)
        parsing = parse_parsing_settings(contents.get(CONFIG_FILE, b""))
        hidden = Hidden({path: contents[path] for path in found.ignores})
        read = [
            self._read_stages(path, snapshot, contents, parsing=parsing, hidden=hidden)
            for path in found.pipelines
        ]
        stages = list[Stage]()
        for answer in await asyncio.gather(*read):
            if isinstance(answer, Needs):
                return answer
            stages.extend(answer)
        sources = [parse_data_file(contents[path], path, around) for path in found.sources]
        return build_pipeline(stages, sources, around)

    async def _read_stages(
        self,
        path: ProjectPath,
        snapshot: Snapshot,
        contents: dict[ProjectPath, bytes],
        *,
        parsing: ParsingSettings,
        hidden: Hidden,
    ) -> tuple[Stage, ...] | Needs:
        """Read one dvc.yaml, fetching what it needs until it needs no more; each round adds to `contents`."""

        def load(wanted: ProjectPath) -> bytes | None:
            if wanted not in contents and (hidden.must_be_seen(wanted, snapshot) or snapshot.file_at(wanted)):
                raise FilesNeeded([wanted])
            return contents.get(wanted)

        while True:
            try:
                return self._parsed.pipeline(
                    contents[path], path, load=load, parsing=parsing, around=snapshot.around
                )
            except FilesNeeded as exc:
                needs = await self._needs(path, snapshot, exc.paths)
                if needs is not None:
                    return needs
                files = {wanted: file for wanted in exc.paths if (file := snapshot.file_at(wanted))}
                contents.update(await self._contents(files, list(files)))

    async def _needs(
        self, declared_in: ProjectPath, snapshot: Snapshot, paths: Iterable[ProjectPath]
    ) -> Needs | None:
        """What must be looked for or uploaded first."""
        unseen = [path for path in paths if path not in snapshot.files and path not in snapshot.data]
        if unseen:
            return _to_be_seen(unseen, declared_in)
        return await self._lacking(file for path in paths if (file := snapshot.file_at(path)) is not None)

    async def _lacking(self, files: Iterable[SnapshotFile]) -> Needs | None:
        missing = await self._sources.missing_of([Digest(file.hash, file.size_bytes) for file in files])
        return Needs(blobs=tuple(dict.fromkeys(missing)), are_sources=True) if missing else None

    async def _read_settings(self, snapshot: Snapshot) -> ProjectSettings:
        if SETTINGS_FILE not in snapshot.files:
            return ProjectSettings()
        return parse_settings_file(
            await self._read.read_project_file(SETTINGS_FILE, snapshot.files[SETTINGS_FILE])
        )

    async def _read_locks(
        self, snapshot: Snapshot, pipeline_files: Iterable[ProjectPath]
    ) -> dict[ProjectPath, Lock]:
        locks = {}
        for file in pipeline_files:
            path = lock_path(file)
            if path in snapshot.files:
                content = await self._read.read_project_file(path, snapshot.files[path])
                locks[file] = Lock(path=path, content=content, entries=self._parsed.lock(content, path))
            else:
                locks[file] = Lock(path=path, content=None, entries={})
        return locks

    async def _contents(
        self, files: Mapping[ProjectPath, SnapshotFile], paths: Sequence[ProjectPath]
    ) -> dict[ProjectPath, bytes]:
        contents = await asyncio.gather(*(self._read.read_project_file(path, files[path]) for path in paths))
        return dict(zip(paths, contents, strict=True))


def _to_be_seen(paths: Iterable[ProjectPath], declared_in: str) -> Needs:
    """Ask the client to look for files that are not among the project's own."""
    return Needs(data=tuple(DataNeed(path=path, recorded_hash="", declared_in=declared_in) for path in paths))


def without_data(snapshot: Snapshot, pipeline: Pipeline, *, kept: Collection[ProjectPath]) -> Snapshot:
    """Take out of a project's own files what stages make or .dvc files track, as DVC's .gitignore files do with git.

    What is not cached stays: git is to have it. So do params files that were changed for the run, which are `kept`.
    """
    made = (out.project_path for stage in pipeline.stages.values() for out in stage.outs if out.cache)
    tracked = (out.project_path for source in pipeline.sources.values() for out in source.outs)
    data = PathSet((*made, *tracked))
    own = {path: file for path, file in snapshot.files.items() if path in kept or not data.covers(path)}
    return snapshot if len(own) == len(snapshot.files) else replace(snapshot, files=own)


def _stage_settings(
    submission: Submission, defaults: StageSettings, stages: Sequence[Stage]
) -> dict[StageName, StageSettings]:
    flags = submission.settings
    if submission.image:
        places = {**flags.places, "image": Place(path="the command line")}
        flags = replace(flags, image=submission.image, places=places)

    def completed(said: StageSettings) -> StageSettings:
        said = said.over(defaults)
        secrets = (*(said.secrets or ()), *(flags.secrets or ()))
        return replace(flags.over(said), secrets=tuple(dict.fromkeys(secrets)))

    # Most stages say nothing of their own: of thousands, that is the same.
    silent = completed(StageSettings())
    return {
        stage.name: completed(
            parse_stage_settings(stage.settings, stage.settings_place or stage.place, stage.settings_places)
        )
        if stage.settings
        else silent
        for stage in stages
    }


def find_unlooked(project: Project) -> tuple[str, ...]:
    """Say of which selected data `dvc repro` would first look whether its source has changed."""
    return tuple(
        f"{source.name} is taken as it is recorded; DVC would see whether {', '.join(source.origins)} has changed:"
        f" dvc update {source.name}"
        for source in project.sources
        if source.origins
    )


def require_stages(project: Project) -> None:
    """Refuse a selection in which there is nothing to run, or something that cannot be.

    Raises:
        PipelineInvalid: if no stage is selected, or one reads or writes where the service does not reach.
    """
    for stage in project.stages:
        # A frozen stage is never run: dvc.lock says all of it.
        obstacle = None if stage.frozen else find_obstacle(stage, project.pipeline.around)
        if obstacle is not None:
            raise obstacle
    if not project.stages:
        raise PipelineInvalid(
            "there is no stage to run",
            hint="Add stages to dvc.yaml, or name a target that has some.",
            place=Place(path=PIPELINE_FILE_NAME),
        )
