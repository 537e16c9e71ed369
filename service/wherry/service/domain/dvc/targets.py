"""Targets of `repro`: from what a user names to the stages that must be up to date.

Groups, globs, `-R` and the other selections of DVC are not here yet.
"""

import posixpath
from collections.abc import Sequence
from difflib import get_close_matches

from wherry.service.domain.dvc.graph import active_upstream, topological_order
from wherry.service.domain.dvc.pipeline_file import DATA_FILE_SUFFIX, PIPELINE_FILE_NAME, stage_name
from wherry.service.domain.dvc.stage import Pipeline, StageName
from wherry.service.domain.errors import PathEscapes, PipelineInvalid, Place, StageUnknown
from wherry.service.domain.paths import ProjectPath, resolve_project_path

_LOCK_FILE_NAME = "dvc.lock"


def select_stages(
    pipeline: Pipeline, targets: Sequence[str], working_folder: ProjectPath
) -> tuple[StageName, ...]:
    """Choose the targets and all that is upstream of them, stages and sources, in DVC's order.

    Targets are read as seen from `working_folder`. Without any, all stages of its dvc.yaml are meant.
    The upstream of a frozen stage is left out.

    Raises:
        StageUnknown: if a target names nothing.
        PipelineInvalid: if there is no target and no dvc.yaml with stages in the working folder.
    """
    wanted: list[StageName] = []
    if targets:
        for target in targets:
            wanted.extend(_resolve(pipeline, target, working_folder))
    else:
        wanted.extend(_stages_of_folder(pipeline, working_folder))
    chosen: set[StageName] = set()
    while wanted:
        name = wanted.pop()
        if name not in chosen:
            chosen.add(name)
            wanted.extend(active_upstream(pipeline, name))
    return topological_order(pipeline, chosen)


def _stages_of_folder(pipeline: Pipeline, folder: ProjectPath) -> list[StageName]:
    path = resolve_project_path(folder, PIPELINE_FILE_NAME)
    names = _stages_of_file(pipeline, path)
    if not names:
        raise PipelineInvalid(
            f"there is no {path!r} with stages",
            hint="Name a target, or go to a folder whose dvc.yaml has stages.",
            place=Place(path=path),
        )
    return names


def _stages_of_file(pipeline: Pipeline, path: ProjectPath) -> list[StageName]:
    return [stage.name for stage in pipeline.stages.values() if stage.file == path]


def _resolve(pipeline: Pipeline, target: str, folder: ProjectPath) -> list[StageName]:
    """Read one target: `name`, `:name`, `path/dvc.yaml`, `path/dvc.yaml:name`, `x.dvc`."""
    head, colon, tail = target.rpartition(":")
    if not colon or "/" in tail or not tail:
        file, key = ("", target) if not _is_file(target) else (target, "")
    else:
        file, key = head, tail
    if posixpath.basename(file) == _LOCK_FILE_NAME:
        better = target.replace(".lock", ".yaml", 1)
        raise StageUnknown(f"{target!r} is no stage", hint=f"Did you mean {better!r}?")
    try:
        path = resolve_project_path(folder, file or PIPELINE_FILE_NAME)
    except PathEscapes as exc:
        raise StageUnknown(f"{target!r} leads out of the project") from exc
    if path.endswith(DATA_FILE_SUFFIX) and not key:
        source = StageName(path)
        names = [source] if source in pipeline.sources else []
    elif key:
        name = stage_name(path, key)
        names = [name] if name in pipeline.stages and pipeline.stages[name].file == path else []
    else:
        names = _stages_of_file(pipeline, path)
    if not names:
        raise _unknown(pipeline, target, path, folder)
    return names


def _is_file(target: str) -> bool:
    name = posixpath.basename(target)
    return name in {PIPELINE_FILE_NAME, _LOCK_FILE_NAME} or name.endswith(DATA_FILE_SUFFIX)


def _unknown(pipeline: Pipeline, target: str, path: ProjectPath, folder: ProjectPath) -> StageUnknown:
    try:
        writer = pipeline.outputs.get(resolve_project_path(folder, target))
    except PathEscapes:
        writer = None
    if writer is not None:
        hint = f"It is an output of {writer!r}: name the stage."
    else:
        keys = [stage.key for stage in pipeline.stages.values() if stage.file == path]
        near = get_close_matches(target, [*keys, *pipeline.stages, *pipeline.sources], n=3)
        hint = f"Did you mean {' or '.join(repr(name) for name in dict.fromkeys(near))}?" if near else ""
        if not hint and keys:
            hint = f"{path} has {', '.join(repr(key) for key in keys[:10])}."
    return StageUnknown(f"no stage {target!r} in {path}", hint=hint)
