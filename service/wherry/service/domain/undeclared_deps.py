"""What to write into dvc.yaml so that the files that a stage reads are declared."""

from collections import defaultdict
from collections.abc import Collection

from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.paths import ROOT, PathSet, ProjectPath, is_within, relative_to

# So many files are named one by one; of more, folders are.
_NAMED_MAX = 5


def deps_to_add(stage: Stage, read: Collection[ProjectPath], outputs: PathSet) -> tuple[str, ...]:
    """Name files as the deps of the stage would, many of one folder by the folder.

    A folder is a dependency with all that is in it, so it is named only if nothing of `outputs`, which stages write,
    lies in it, nor the stage's own dvc.yaml.
    """
    folders = set[ProjectPath]()
    if len(read) > _NAMED_MAX:
        within = defaultdict[ProjectPath, int](int)
        for path in read:
            within[_parent(path)] += 1
        folders = {
            folder
            for folder, count in within.items()
            if count > 1
            and folder != ROOT
            and not is_within(stage.file, folder)
            and not outputs.touches(folder)
        }
    covered = PathSet(folders)
    named = {_topmost(path, folders) if covered.covers(path) else path for path in read}
    return tuple(relative_to(path, stage.wdir) for path in sorted(named))


def _topmost(path: ProjectPath, folders: set[ProjectPath]) -> ProjectPath:
    parts = path.split("/")
    above = (ProjectPath("/".join(parts[:end])) for end in range(1, len(parts)))
    return next(folder for folder in above if folder in folders)


def _parent(path: ProjectPath) -> ProjectPath:
    return ProjectPath(path.rpartition("/")[0]) if "/" in path else ROOT
