"""Which of a project's files DVC and Wherry read, and in which order."""

import posixpath
from collections.abc import Collection
from dataclasses import dataclass

from wherry.service.domain.dvc.collection import is_nested, nested_projects
from wherry.service.domain.dvc.context import default_params_file, folder_of
from wherry.service.domain.dvc.dvc_config import CONFIG_FILE
from wherry.service.domain.dvc.ignore import GIT_IGNORE_FILE, IGNORE_FILE
from wherry.service.domain.dvc.pipeline_file import DATA_FILE_SUFFIX, PIPELINE_FILE_NAME
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings
from wherry.service.domain.settings import SETTINGS_FILE

LOCK_NAME = "dvc.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class DvcFiles:
    """The files of a project that DVC and Wherry read, by what they are."""

    pipelines: tuple[ProjectPath, ...]
    sources: tuple[ProjectPath, ...]
    locks: tuple[ProjectPath, ...]
    settings: tuple[ProjectPath, ...]
    values: tuple[ProjectPath, ...]
    """What templating always reads: DVC's configuration, the params.yaml beside each dvc.yaml."""
    ignores: tuple[ProjectPath, ...] = ()
    """The .dvcignore and .gitignore files."""
    around: Surroundings = NOWHERE
    """Where the project lies."""

    @property
    def all(self) -> tuple[ProjectPath, ...]:
        """All of them."""
        return (*self.pipelines, *self.sources, *self.locks, *self.settings, *self.values, *self.ignores)


def find_dvc_files(paths: Collection[ProjectPath], around: Surroundings = NOWHERE) -> DvcFiles:
    """Pick the DVC files among a project's files; a dvc.lock counts where a dvc.yaml stands beside it.

    Folders that are DVC projects of their own are passed by, as DVC does.
    """
    nested = nested_projects(paths)
    own = [path for path in paths if not is_nested(path, nested)]
    pipelines = sorted(
        (path for path in own if posixpath.basename(path) == PIPELINE_FILE_NAME), key=_walk_order
    )
    locks = (lock_path(path) for path in pipelines)
    values = dict.fromkeys([CONFIG_FILE, *(default_params_file(folder_of(path)) for path in pipelines)])
    return DvcFiles(
        pipelines=tuple(pipelines),
        sources=tuple(sorted((path for path in own if _is_data_file(path)), key=_walk_order)),
        locks=tuple(path for path in locks if path in paths),
        settings=(SETTINGS_FILE,) if SETTINGS_FILE in paths else (),
        values=tuple(path for path in values if path in paths),
        ignores=tuple(path for path in paths if posixpath.basename(path) in {IGNORE_FILE, GIT_IGNORE_FILE}),
        around=around,
    )


def lock_path(pipeline_file: ProjectPath) -> ProjectPath:
    """The dvc.lock beside a dvc.yaml."""
    return ProjectPath(posixpath.join(posixpath.dirname(pipeline_file), LOCK_NAME))


def _walk_order(path: ProjectPath) -> list[tuple[bool, str]]:
    """DVC walks from the top: the files of a folder come before those of its sub-folders."""
    *folders, name = path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]


def _is_data_file(path: ProjectPath) -> bool:
    *folders, name = path.split("/")
    return name.endswith(DATA_FILE_SUFFIX) and name != DATA_FILE_SUFFIX and ".dvc" not in folders
