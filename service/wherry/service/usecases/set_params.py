"""Change the parameters of a submission: `-S/--set-param`, and Hydra's composition where the project enables it."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace

from wherry.service.domain.blob import Digest
from wherry.service.domain.dvc.dvc_config import CONFIG_FILE
from wherry.service.domain.dvc.hydra_settings import HydraSettings, parse_hydra_settings
from wherry.service.domain.dvc.override_grammar import BeyondBasics
from wherry.service.domain.dvc.params_section import DEFAULT_PARAMS_FILE
from wherry.service.domain.dvc.set_param import apply_overrides, split_override
from wherry.service.domain.errors import InvalidInput, TooMany
from wherry.service.domain.limits import COMPOSED_BYTES_MAX, COMPOSED_FILES_MAX
from wherry.service.domain.paths import ROOT, ProjectPath, resolve_project_path
from wherry.service.domain.snapshot import Snapshot, SnapshotFile
from wherry.service.domain.submission import Composition, Submission
from wherry.service.ports.param_composer import ParamComposer
from wherry.service.usecases.put_blobs import PutBlobs
from wherry.service.usecases.read_blobs import ReadBlobs

_PLUGINS = "hydra_plugins/"


class SetParams:
    """Makes the snapshot that is run of the one that was submitted."""

    def __init__(self, *, put: PutBlobs, read: ReadBlobs, composer: ParamComposer) -> None:
        """Read and store through these; `composer` is Hydra."""
        self._put = put
        self._read = read
        self._composer = composer

    async def __call__(self, submission: Submission) -> tuple[Snapshot, dict[ProjectPath, str]]:
        """Return the changed snapshot, and the files that changed with the hash that was submitted.

        Raises:
            InvalidInput: if a change cannot be made.
            PipelineInvalid: if a file cannot be read.
        """
        changes: dict[str, list[str]] = {}
        for text in submission.set_params:
            name, override = split_override(text)
            changes.setdefault(name, []).append(override)
        hydra = await self._hydra_settings(submission)
        if hydra is not None:
            # DVC composes the file of this name where the command was given, without changes too.
            changes.setdefault(DEFAULT_PARAMS_FILE, [])
        files, changed = dict(submission.snapshot.files), dict[ProjectPath, str]()
        for name, overrides in changes.items():
            path = resolve_project_path(submission.working_folder, name)
            before = files.get(path) or submission.snapshot.file_at(path)
            if hydra is not None and name == DEFAULT_PARAMS_FILE:
                data = await self._compose(hydra, submission.snapshot.files, overrides)
            elif before is not None:
                data = await self._edit(path, before, overrides)
            else:
                raise InvalidInput(
                    f"-S/--set-param names {path}, which is not in the project",
                    hint="Write it as FILE:KEY=VALUE, the file relative to where you are.",
                )
            digest = await self._put.put_content(data)
            if before is None or digest.hash != before.hash:
                changed.setdefault(path, before.hash if before is not None else "")
                files[path] = _changed(before, digest)
        return replace(submission.snapshot, files=files), changed

    def unseen(self, submission: Submission) -> list[ProjectPath]:
        """What is to be changed and is no file of the project: the client has yet to look whether it is hidden."""
        snapshot = submission.snapshot
        named = _files_named(submission)
        return [path for path in named if path not in snapshot.files and path not in snapshot.data]

    def files_read(self, submission: Submission) -> list[ProjectPath]:
        """The files that this may read; where configurations lie only DVC's config says."""
        files = submission.snapshot.files
        named = [path for path in _files_named(submission) if submission.snapshot.file_at(path) is not None]
        if not _may_compose(submission):
            return named
        return [*named, *(path for path in files if posixpath.splitext(path)[1] == ".yaml")]

    async def _hydra_settings(self, submission: Submission) -> HydraSettings | None:
        files = submission.snapshot.files
        if not _may_compose(submission):
            return None
        return parse_hydra_settings(await self._read.read_project_file(CONFIG_FILE, files[CONFIG_FILE]))

    async def _edit(self, path: ProjectPath, file: SnapshotFile, overrides: Sequence[str]) -> bytes:
        data = await self._read.read_project_file(path, file)
        try:
            return apply_overrides(data, path, overrides)
        except BeyondBasics:
            return await self._composer.set_params(data, path, overrides)

    async def _compose(
        self, hydra: HydraSettings, files: Mapping[ProjectPath, SnapshotFile], overrides: Sequence[str]
    ) -> bytes:
        plugins = [path for path in files if path.startswith(_PLUGINS) and path.endswith(".py")]
        if plugins:
            raise InvalidInput(
                f"{plugins[0]} is a plugin of Hydra, which the service does not run",
                hint="Compose without plugins, or with `dvc exp run` on your machine.",
            )
        prefix = "" if hydra.config_dir == ROOT else f"{hydra.config_dir}/"
        wanted = [
            path for path in files if path.startswith(prefix) and posixpath.splitext(path)[1] == ".yaml"
        ]
        if len(wanted) > COMPOSED_FILES_MAX:
            raise TooMany(
                f"{len(wanted)} configurations are more than the {COMPOSED_FILES_MAX} that are read"
            )
        if sum(files[path].size_bytes for path in wanted) > COMPOSED_BYTES_MAX:
            raise TooMany(
                f"the configurations below {prefix or '.'} have more than {COMPOSED_BYTES_MAX} bytes"
            )
        if not wanted:
            raise InvalidInput(
                f"hydra.enabled is set, and there is no configuration in {prefix or 'the project'}",
                hint="hydra.config_dir in .dvc/config says where they are.",
            )
        contents = {
            path.removeprefix(prefix): await self._read.read_project_file(path, files[path])
            for path in wanted
        }
        return await self._composer.compose(contents, hydra.config_name, overrides)


def _files_named(submission: Submission) -> list[ProjectPath]:
    names = dict.fromkeys(split_override(text)[0] for text in submission.set_params)
    return [resolve_project_path(submission.working_folder, name) for name in names]


def _may_compose(submission: Submission) -> bool:
    """Whether parameters are composed, if the project enables it."""
    composition = submission.composition
    wanted = composition is Composition.ALWAYS or (
        composition is Composition.WITH_CHANGES and bool(submission.set_params)
    )
    return wanted and CONFIG_FILE in submission.snapshot.files


def _changed(before: SnapshotFile | None, digest: Digest) -> SnapshotFile:
    if before is None:
        return SnapshotFile(hash=digest.hash, size_bytes=digest.size_bytes, executable=False)
    return replace(before, hash=digest.hash, size_bytes=digest.size_bytes)
