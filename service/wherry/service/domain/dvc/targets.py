"""From what a user names to stages: targets, and what is taken with them.

Where a choice is surprising it is DVC's: an empty choice (a dvc.yaml without stages, a pattern that matches
nothing, a folder without stages) means the whole project.
"""

import posixpath
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property

from wherry.service.domain.dvc.graph import (
    active_downstream,
    active_upstream,
    connected,
    reachable,
    topological_order,
)
from wherry.service.domain.dvc.pipeline_file import DATA_FILE_SUFFIX, PIPELINE_FILE_NAME, is_dvc_file
from wherry.service.domain.dvc.stage import DataSource, Pipeline, Stage, StageName
from wherry.service.domain.dvc.target_grammar import GROUP_MARK, Target, parse_pattern, parse_target
from wherry.service.domain.errors import PathEscapes, PipelineInvalid, Place, StageUnknown
from wherry.service.domain.paths import (
    ROOT,
    ProjectPath,
    is_around_root,
    is_inside_root,
    is_within,
    relative_to,
    resolve_project_path,
)
from wherry.service.domain.submission import NO_FLAGS, Selection


def select_stages(
    pipeline: Pipeline,
    targets: Sequence[str],
    working_folder: ProjectPath,
    selection: Selection = NO_FLAGS,
    *,
    files: Collection[ProjectPath] | None = None,
) -> tuple[StageName, ...]:
    """Choose stages and data sources as `dvc repro` does, in an order in which they can be run.

    Targets are read as seen from `working_folder`. Without any, all stages of its dvc.yaml are meant. What is
    upstream of a frozen stage is left out. `files` are the files of the project, to tell folders and a dvc.yaml
    without stages; without them only files that declare something are known.

    DVC runs the targets of `-s` one after another as they are given; here a stage does not come before another
    target that it reads from, so that no result is outdated when it is made.

    Raises:
        StageUnknown: if a target names nothing.
        PipelineInvalid: if there is no target and no dvc.yaml in the working folder.
    """
    if selection.all_pipelines:
        return topological_order(pipeline)
    finder = TargetFinder(pipeline, working_folder, files)
    if not targets:
        finder.require_pipeline_file()
    named = finder.find_all(targets or (PIPELINE_FILE_NAME,), selection)
    if selection.is_single:
        return topological_order(pipeline, named)
    return topological_order(pipeline, _with_connected(pipeline, named, selection) if named else None)


def _with_connected(pipeline: Pipeline, named: Collection[StageName], selection: Selection) -> set[StageName]:
    if selection.whole_pipelines:
        return connected(named, {name: active_upstream(pipeline, name) for name in pipeline.stages})
    if selection.downstream:
        readers = active_downstream(pipeline)
        return reachable(named, lambda name: readers.get(name, ()))
    return reachable(named, lambda name: active_upstream(pipeline, name))


class TargetFinder:
    """Looks targets up in one project, as seen from one folder."""

    def __init__(
        self, pipeline: Pipeline, folder: ProjectPath, files: Collection[ProjectPath] | None = None
    ) -> None:
        """Take the project once; see `select_stages` for `files`."""
        self._pipeline = pipeline
        self._folder = folder
        self._items: list[Stage | DataSource] = [*pipeline.stages.values(), *pipeline.sources.values()]
        self._files = {item.file for item in self._items}.union(files or ())
        self._by_file: dict[ProjectPath, dict[str, StageName]] = {}
        for stage in pipeline.stages.values():
            self._by_file.setdefault(stage.file, {})[stage.key] = stage.name

    def require_pipeline_file(self) -> None:
        """Refuse to go on without a dvc.yaml in the folder.

        Raises:
            PipelineInvalid: if there is none.
        """
        path = resolve_project_path(self._folder, PIPELINE_FILE_NAME)
        if path not in self._files:
            raise PipelineInvalid(
                f"there is no {path!r} with stages", hint=self._elsewhere(), place=Place(path=path)
            )

    def _elsewhere(self) -> str:
        """What to do where there is nothing: the files with stages are named."""
        files = sorted({stage.file for stage in self._pipeline.stages.values()})
        if not files:
            return "`wherry stage add` makes a stage, as `dvc stage add` does."
        there = relative_to(files[0], self._folder)
        more = f" (or another of {len(files)} such files)" if len(files) > 1 else ""
        return f"-P takes the stages of the whole project; or name a target, such as {there!r}{more}."

    def find_all(self, targets: Iterable[str], selection: Selection) -> dict[StageName, None]:
        """Find what targets stand for, each once, in the order given.

        Raises:
            StageUnknown: if a target names nothing.
        """
        found: dict[StageName, None] = {}
        for target in targets:
            found.update(dict.fromkeys(self._find(target, selection)))
        return found

    def find_granular(self, target: str) -> tuple[list[StageName], ProjectPath | None]:
        """Find stages, or the stage that writes an output and the path that was named.

        A stage of the folder's dvc.yaml goes before an output of the same name.

        Raises:
            StageUnknown: if it is neither.
        """
        parsed = parse_target(target)
        if parsed.file is not None and is_dvc_file(parsed.file):
            return self._in_file(parsed, glob=False), None
        keys = self._by_file.get(self._default_file, {})
        names = _named(keys, target) if parsed.file is None else []
        if names:
            return names, None
        path = self._resolve(target)
        writer = None if path is None else self._writer(path)
        return ([writer], path) if writer else (self._in_file(parsed, glob=False), None)

    @cached_property
    def _folders(self) -> set[str]:
        folders = set[str]()
        for file in self._files:
            parent = posixpath.dirname(file)
            while parent and parent not in folders:
                folders.add(parent)
                parent = posixpath.dirname(parent)
        return folders

    @property
    def _default_file(self) -> ProjectPath:
        return resolve_project_path(self._folder, PIPELINE_FILE_NAME)

    def _find(self, target: str, selection: Selection) -> list[StageName]:
        if not target:
            return [item.name for item in self._items]
        path = self._resolve(target) if selection.recursive else None
        if path is not None and self._is_folder(path):
            return [item.name for item in self._items if is_within(item.file, path)]
        if selection.output_targets:
            return self.find_granular(target)[0]
        parsed = parse_pattern(target) if selection.glob else parse_target(target)
        return self._in_file(parsed, glob=selection.glob)

    def _in_file(self, target: Target, *, glob: bool) -> list[StageName]:
        path = self._resolve(target.file or PIPELINE_FILE_NAME)
        if path is None or not is_inside_root(path):
            raise StageUnknown(f"{target.text!r} leads out of the project")
        if path.endswith(DATA_FILE_SUFFIX):
            # DVC warns that a name behind a .dvc file is ignored, and goes on.
            source = StageName(path)
            if source in self._pipeline.sources:
                return [source]
        elif path in self._files and posixpath.basename(path) == PIPELINE_FILE_NAME:
            keys = self._by_file.get(path, {})
            names = _matching(keys, target.key) if glob else _named(keys, target.key)
            if names or glob or not target.key:
                return names
        raise self._unknown(target, path)

    def _resolve(self, written: str) -> ProjectPath | None:
        try:
            return self._pipeline.around.resolve(self._folder, written)
        except PathEscapes:
            return None

    def _is_folder(self, path: ProjectPath) -> bool:
        return path == ROOT or path in self._folders

    def _writer(self, path: ProjectPath) -> StageName | None:
        parts = path.split("/")
        for end in range(len(parts), 0, -1):
            holder = ProjectPath("/".join(parts[:end]))
            if holder in self._writers:
                return self._writers[holder]
        return next((self._writers[out] for out in self._around if is_within(path, out)), None)

    @cached_property
    def _writers(self) -> dict[ProjectPath, StageName]:
        return {out.project_path: item.name for item in self._items for out in item.outs}

    @cached_property
    def _around(self) -> list[ProjectPath]:
        """Outputs of which the names of a path do not tell that it lies in them: the root, and what holds it."""
        return [out for out in self._writers if out == ROOT or is_around_root(out)]

    def _unknown(self, target: Target, path: ProjectPath) -> StageUnknown:
        written = self._resolve(target.text)
        writer = None if written is None or written == ROOT else self._writer(written)
        if writer is not None:
            hint = f"It is an output of {writer!r}: name the stage."
        else:
            keys = list(self._by_file.get(path, ()))
            near = get_close_matches(
                target.text, [*keys, *self._pipeline.stages, *self._pipeline.sources], n=3
            )
            hint = f"Did you mean {' or '.join(repr(name) for name in dict.fromkeys(near))}?" if near else ""
            if not hint and keys:
                hint = f"{path} has {', '.join(repr(key) for key in keys[:10])}."
        return StageUnknown(f"no stage {target.text!r} in {path}", hint=hint)


def _named(keys: dict[str, StageName], key: str) -> list[StageName]:
    """All stages without a key; otherwise that one, or those that were made from a group of this name."""
    if not key:
        return list(keys.values())
    if key in keys:
        return [keys[key]]
    return _members(keys, key)


def _matching(keys: dict[str, StageName], pattern: str) -> list[StageName]:
    """As `_named`, for a pattern; the name of a group goes before a pattern."""
    if not pattern or pattern in keys:
        return _named(keys, pattern)
    return _members(keys, pattern) or [name for key, name in keys.items() if fnmatchcase(key, pattern)]


def _members(keys: dict[str, StageName], key: str) -> list[StageName]:
    return [name for member, name in keys.items() if member.startswith(key + GROUP_MARK)]
