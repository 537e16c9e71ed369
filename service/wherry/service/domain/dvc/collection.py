"""Which DVC files take part: DVC walks down from the root and enters neither outputs that it knows nor other projects."""

import posixpath
from collections.abc import Collection, Iterable, Sequence

from wherry.service.domain.dvc.stage import DataSource, Stage
from wherry.service.domain.paths import ROOT, ProjectPath, is_within


def nested_projects(paths: Iterable[ProjectPath]) -> frozenset[ProjectPath]:
    """Find the folders below the root that are DVC projects of their own: they hold a `.dvc` folder."""
    parts = (path.partition("/.dvc/") for path in paths)
    return frozenset(ProjectPath(folder) for folder, mark, _ in parts if mark)


def is_nested(path: ProjectPath, projects: Collection[ProjectPath]) -> bool:
    """Whether a file lies in one of the `projects`."""
    return bool(projects) and any(folder in projects for folder in _folders_above(path))


def leave_out_files_in_outputs(items: Sequence[Stage | DataSource]) -> list[Stage | DataSource]:
    """Leave out what stands in DVC files that DVC never meets: those inside an output that is declared further up.

    An output that is declared beside or below hides nothing for certain: what DVC meets first depends on the file
    system, and then the graph is refused.
    """
    outputs: set[ProjectPath] = set()
    hidden: set[ProjectPath] = set()
    by_file: dict[ProjectPath, list[Stage | DataSource]] = {}
    for item in items:
        by_file.setdefault(item.file, []).append(item)
    for file in sorted(by_file, key=lambda path: path.count("/")):
        if any(folder in outputs for folder in _folders_above(file)):
            hidden.add(file)
            continue
        folder = _folder_of(file)
        for item in by_file[file]:
            for out in item.outs:
                if is_within(_folder_of(out.project_path), folder):
                    outputs.add(out.project_path)
    return [item for item in items if item.file not in hidden] if hidden else list(items)


def _folder_of(path: ProjectPath) -> ProjectPath:
    return ProjectPath(posixpath.dirname(path) or ROOT)


def _folders_above(path: ProjectPath) -> Iterable[ProjectPath]:
    folder = posixpath.dirname(path)
    while folder:
        yield ProjectPath(folder)
        folder = posixpath.dirname(folder)
