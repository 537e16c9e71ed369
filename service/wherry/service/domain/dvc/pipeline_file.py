"""dvc.yaml: read, checked as DVC's schema checks it, made into stages.

What is not understood yet is refused at its place, never read as something else: templating (`${…}`, vars),
foreach and matrix, persistent outputs, paths outside the project, patterns in parameter names. Sections on
the top level are checked for shape; they do not change what a stage does.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from wherry.service.domain.dvc.params_section import read_params_section
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.stage import Dependency, Output, Stage, StageName
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import Place
from wherry.service.domain.paths import ProjectPath
from wherry.service.domain.records import OutputKind

PIPELINE_FILE_NAME = "dvc.yaml"
DATA_FILE_SUFFIX = ".dvc"

_TOP_LEVEL = frozenset({"stages", "vars", "params", "metrics", "plots", "artifacts", "datasets"})
_STAGE_KEYS = frozenset(
    {
        *("cmd", "wdir", "deps", "params", "outs", "metrics", "plots"),
        *("vars", "frozen", "always_changed", "desc", "meta", "matrix"),
    }
)
_TEXT_FLAGS = frozenset({"remote", "desc", "type"})
_BOOL_FLAGS = frozenset({"cache", "persist", "push", "checkpoint"})
_OUTPUT_FLAGS = frozenset({*_TEXT_FLAGS, *_BOOL_FLAGS, "labels", "meta"})
_PLOT_TEXTS = frozenset({"template", "x", "y", "x_label", "y_label", "title"})
_PLOT_FLAGS = frozenset({*_OUTPUT_FLAGS, *_PLOT_TEXTS, "header"})
_SECTIONS = (("outs", OutputKind.OUT), ("metrics", OutputKind.METRIC), ("plots", OutputKind.PLOT))

# DVC replaces `${…}` within a line and drops the backslash of `\${`; any other dollar is left alone.
_TEMPLATE = re.compile(r"\$\{.*?\}|\\\$\{")


def parse_pipeline_file(data: bytes, path: ProjectPath) -> tuple[Stage, ...]:
    """Read the stages of a dvc.yaml, in its order. An empty file has none.

    Raises:
        PipelineInvalid: with the place, if DVC would refuse the file or Wherry does not understand it yet.
    """
    document = parse_yaml(data, path)
    root = Shape(document, (), {} if document.value is None else document.value, path)
    fields = root.fields(_TOP_LEVEL)
    _check_top_level(fields)
    if "stages" not in fields:
        return ()
    stages = fields["stages"]
    return tuple(
        _read_stage(stages.inner(key, value, f"stage {key!r}"), key, path)
        for key, value in stages.mapping().items()
    )


def is_dvc_file(path: str) -> bool:
    """Whether DVC takes a path for one of its own files: a pipeline's or tracked data's."""
    return posixpath.basename(path) == PIPELINE_FILE_NAME or path.endswith(DATA_FILE_SUFFIX)


def stage_name(path: ProjectPath, key: str) -> StageName:
    """Address a stage from the DVC root, as DVC prints it there."""
    return StageName(key if path == PIPELINE_FILE_NAME else f"{path}:{key}")


def _check_top_level(fields: Mapping[str, Shape]) -> None:
    for name in ("params", "metrics"):
        if name in fields:
            fields[name].texts()
    for name, texts_allowed in (("plots", True), ("vars", True)):
        for item in fields[name].items() if name in fields else ():
            if not (texts_allowed and isinstance(item.value, str)):
                item.mapping()
    if "artifacts" in fields:
        artifacts = fields["artifacts"]
        for name, value in artifacts.mapping().items():
            artifact = artifacts.inner(name, value, f"artifact {name!r}")
            parts = artifact.fields({"path", "type", "desc", "labels", "meta"})
            if "path" not in parts:
                raise artifact.refuse("it has no path")


def _read_stage(shape: Shape, key: str, path: ProjectPath) -> Stage:
    _check_name(shape, key)
    mapping = shape.mapping()
    for feature in ("foreach", "do", "matrix"):
        if feature in mapping:
            raise shape.inner(feature, None).not_yet(f"`{feature}` in a stage")
    fields = shape.fields(_STAGE_KEYS)
    if "vars" in fields:
        raise fields["vars"].not_yet("`vars` in a stage")
    _refuse_templates(shape)
    if "desc" in fields:
        fields["desc"].text()
    wdir = _read_wdir(fields, path)
    settings, settings_place = _read_settings(fields)
    return Stage(
        name=stage_name(path, key),
        file=path,
        key=key,
        place=shape.place,
        cmd=_read_cmd(shape, fields),
        wdir=wdir,
        deps=_read_deps(fields, wdir),
        params=read_params_section(fields["params"], wdir) if "params" in fields else (),
        outs=tuple(_read_outputs(fields, wdir)),
        frozen=fields["frozen"].flag() if "frozen" in fields else False,
        always_changed=fields["always_changed"].flag() if "always_changed" in fields else False,
        settings=settings,
        settings_place=settings_place,
    )


def _check_name(shape: Shape, key: str) -> None:
    if not key:
        raise shape.refuse("a stage needs a name")
    if "@" in key:
        raise shape.refuse(
            "'@' in a stage's name is kept for foreach and matrix; DVC cannot find such a stage"
        )
    if _TEMPLATE.search(key):
        raise shape.not_yet("templating (`${…}`)")


def _refuse_templates(shape: Shape) -> None:
    """DVC resolves every key and value of a stage, so every one of them is looked at."""
    value = shape.value
    if isinstance(value, str):
        if _TEMPLATE.search(value):
            raise shape.not_yet("templating (`${…}`)", hint="Write the value itself for now.")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str) and _TEMPLATE.search(key):
                raise shape.inner(key, None).not_yet("templating (`${…}`)")
            _refuse_templates(shape.inner(key, inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_templates(shape.inner(index, inner))


def _read_cmd(shape: Shape, fields: Mapping[str, Shape]) -> str | tuple[str, ...]:
    if "cmd" not in fields:
        raise shape.refuse("it has no cmd")
    cmd = fields["cmd"]
    if not cmd.value and isinstance(cmd.value, str | list):
        raise cmd.refuse("cmd is empty", hint="Data without a command is tracked with `dvc add`.")
    if isinstance(cmd.value, list):
        return tuple(cmd.texts())
    return cmd.text()


def _read_wdir(fields: Mapping[str, Shape], path: ProjectPath) -> ProjectPath:
    folder = ProjectPath(posixpath.dirname(path) or ".")
    if "wdir" not in fields:
        return folder
    wdir = fields["wdir"]
    return wdir.project_path(folder, wdir.text(), "wdir")


def _read_deps(fields: Mapping[str, Shape], wdir: ProjectPath) -> tuple[Dependency, ...]:
    if "deps" not in fields:
        return ()
    deps = []
    for item in fields["deps"].items():
        written = item.text()
        path = item.project_path(wdir, written, "dependency")
        if is_dvc_file(path):
            raise item.refuse(f"{written!r} is a DVC file; it cannot be a dependency")
        deps.append(Dependency(path=written, project_path=path))
    return tuple(deps)


def _read_outputs(fields: Mapping[str, Shape], wdir: ProjectPath) -> Iterator[Output]:
    for section, kind in _SECTIONS:
        if section not in fields:
            continue
        known = _PLOT_FLAGS if kind is OutputKind.PLOT else _OUTPUT_FLAGS
        for written, (shape, flags) in _merge_outputs(fields[section], known).items():
            path = shape.project_path(wdir, written, "output")
            if is_dvc_file(path):
                raise shape.refuse(f"{written!r} is a DVC file; it cannot be an output")
            if flags.get("persist"):
                raise shape.not_yet("persistent outputs (`persist: true`)")
            yield Output(
                path=written,
                project_path=path,
                kind=kind,
                cache=flags.get("cache", True),
                push=flags.get("push", True),
            )


def _merge_outputs(section: Shape, known: frozenset[str]) -> dict[str, tuple[Shape, dict[str, Any]]]:
    """Fold repeated paths of one section: as in DVC, the first keeps the position, later flags override."""
    merged: dict[str, tuple[Shape, dict[str, Any]]] = {}
    for item in section.items():
        if isinstance(item.value, str):
            merged.setdefault(item.value, (item, {}))
            continue
        if not isinstance(item.value, dict):
            raise item.refuse("an output is a path, or a path with a mapping of flags")
        for path, flags in item.mapping().items():
            shape = item.inner(path, flags)
            merged.setdefault(path, (shape, {}))[1].update(_read_flags(shape, known))
    return merged


def _read_flags(shape: Shape, known: frozenset[str]) -> Mapping[str, Any]:
    fields = shape.fields(known)
    for name, value in fields.items():
        if name in _BOOL_FLAGS or name == "header":
            value.flag()
        elif name in _TEXT_FLAGS or name in _PLOT_TEXTS:
            value.text()
        elif name == "labels":
            value.texts()
    return {name: value.value for name, value in fields.items()}


def _read_settings(fields: Mapping[str, Shape]) -> tuple[Mapping[str, Any], Place | None]:
    """Take meta.wherry. Other tools may keep anything else under meta."""
    meta = fields.get("meta")
    if meta is None or not isinstance(meta.value, dict) or "wherry" not in meta.value:
        return {}, None
    settings = meta.inner("wherry", meta.value["wherry"])
    return ({} if settings.value is None else settings.mapping()), settings.place
