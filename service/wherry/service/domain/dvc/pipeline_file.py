"""dvc.yaml: read, checked as DVC's schema checks it, resolved, and made into stages.

What is not understood yet is refused at its place, never read as something else: patterns in parameter names. So is what DVC reads but fails on later, such as a command that resolves to
a number. Sections on the top level are checked for shape; they do not change what a stage does.
"""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from wherry.service.domain.dvc.context import Load, ValueFiles, folder_of
from wherry.service.domain.dvc.definition import PLOT_PROPERTIES, TOP_LEVEL, check_definition, check_top_level
from wherry.service.domain.dvc.dvc_config import DEFAULT_PARSING, ParsingSettings
from wherry.service.domain.dvc.expansion import ResolvedStage, Templates, expand_stages, open_templates
from wherry.service.domain.dvc.params_section import read_params_section
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.stage import Dependency, Output, Stage, StageName
from wherry.service.domain.dvc.yaml12 import YamlDocument, parse_yaml
from wherry.service.domain.errors import Place
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings
from wherry.service.domain.records import OutputKind

PIPELINE_FILE_NAME = "dvc.yaml"
DATA_FILE_SUFFIX = ".dvc"

_SECTIONS = (("outs", OutputKind.OUT), ("metrics", OutputKind.METRIC), ("plots", OutputKind.PLOT))


def no_files(_path: ProjectPath) -> bytes | None:
    """Load from a project without files of values: nothing is there."""
    return None


def parse_pipeline_file(
    data: bytes,
    path: ProjectPath,
    *,
    load: Load = no_files,
    parsing: ParsingSettings = DEFAULT_PARSING,
    around: Surroundings = NOWHERE,
) -> tuple[Stage, ...]:
    """Read the stages of a dvc.yaml, generated ones included, in its order. An empty file has none.

    Dependencies and outputs may lie anywhere: `around` says where the project does. Whether a stage can be run with them
    is outside_paths.py's to say.

    `load` gives the files that templating reads: always the params.yaml beside it, and what `vars` name. It may
    raise FilesNeeded, which comes through with all files that are needed next; ask again when they are at hand.

    Raises:
        FilesNeeded: from `load`.
        PipelineInvalid: with the place, if DVC would refuse the file or Wherry does not understand it yet.
    """
    document = parse_yaml(data, path)
    return parse_pipeline_document(document, path, load=load, parsing=parsing, around=around)


def parse_pipeline_document(
    document: YamlDocument,
    path: ProjectPath,
    *,
    load: Load = no_files,
    parsing: ParsingSettings = DEFAULT_PARSING,
    around: Surroundings = NOWHERE,
) -> tuple[Stage, ...]:
    """Read the stages of a dvc.yaml that is parsed already.

    Raises:
        FilesNeeded: as `parse_pipeline_file`.
        PipelineInvalid: as `parse_pipeline_file`, but for the syntax.
    """
    fields, templates = open_pipeline_document(document, path, load=load, parsing=parsing, around=around)
    return read_stages(fields, templates)


def open_pipeline_document(
    document: YamlDocument, path: ProjectPath, *, load: Load, parsing: ParsingSettings, around: Surroundings
) -> tuple[Mapping[str, Shape], Templates]:
    """Check the shape of a dvc.yaml and gather the values of its templates: its sections, and what resolves them.

    Raises:
        FilesNeeded: from `load`.
        PipelineInvalid: as `parse_pipeline_file`, but for the syntax and the stages' values.
    """
    root = Shape(document, (), {} if document.value is None else document.value, path, around)
    fields = root.fields(TOP_LEVEL)
    check_top_level(fields)
    if "stages" in fields:
        stages = fields["stages"]
        for key, value in stages.mapping().items():
            check_definition(stages.inner(key, value, f"stage {key!r}"))
    return fields, open_templates(fields, path, ValueFiles(load, around), parsing)


def read_stages(fields: Mapping[str, Shape], templates: Templates) -> tuple[Stage, ...]:
    """Resolve the stages among the sections of a dvc.yaml.

    Raises:
        FilesNeeded: after the last stage, with all files that are needed first.
        PipelineInvalid: with the place.
    """
    if "stages" not in fields:
        return ()
    folder = folder_of(templates.path)
    return tuple(
        _read_stage(stage, templates.path, folder) for stage in expand_stages(fields["stages"], templates)
    )


def is_dvc_file(path: str) -> bool:
    """Whether DVC takes a path for one of its own files: a pipeline's or tracked data's."""
    if path.endswith(DATA_FILE_SUFFIX):
        return True
    return path.endswith(PIPELINE_FILE_NAME) and posixpath.basename(path) == PIPELINE_FILE_NAME


def stage_name(path: ProjectPath, key: str) -> StageName:
    """Address a stage from the DVC root, as DVC prints it there."""
    return StageName(key if path == PIPELINE_FILE_NAME else f"{path}:{key}")


def _read_stage(stage: ResolvedStage, path: ProjectPath, folder: ProjectPath) -> Stage:
    shape = stage.shape
    fields = {name: shape.inner(name, value) for name, value in shape.mapping().items()}
    wdir = _read_wdir(fields, folder)
    settings = _read_settings(fields)
    return Stage(
        name=stage_name(path, stage.key),
        file=path,
        key=stage.key,
        place=stage.place,
        cmd=_read_cmd(fields["cmd"]),
        wdir=wdir,
        wdir_place=None if wdir == folder else fields["wdir"].place,
        deps=_read_deps(fields, wdir),
        params=read_params_section(fields["params"], wdir) if "params" in fields else (),
        outs=tuple(_read_outputs(fields, wdir)),
        frozen=fields["frozen"].flag() if "frozen" in fields else False,
        always_changed=fields["always_changed"].flag() if "always_changed" in fields else False,
        settings={} if settings is None else settings.mapping(),
        settings_place=None if settings is None else settings.place,
        settings_places={} if settings is None else _places(settings),
    )


def _read_cmd(cmd: Shape) -> str | tuple[str, ...]:
    if not cmd.value and isinstance(cmd.value, str | list):
        raise cmd.refuse("cmd is empty", hint="Data without a command is tracked with `dvc add`.")
    if isinstance(cmd.value, list):
        return tuple(cmd.texts())
    return cmd.text()


def _read_wdir(fields: Mapping[str, Shape], folder: ProjectPath) -> ProjectPath:
    # Empty or null, as a template may leave it, is the folder itself.
    if "wdir" not in fields or fields["wdir"].value in {"", None}:
        return folder
    wdir = fields["wdir"]
    return wdir.path_anywhere(folder, wdir.text())


def _read_deps(fields: Mapping[str, Shape], wdir: ProjectPath) -> tuple[Dependency, ...]:
    if "deps" not in fields:
        return ()
    deps = []
    for item in fields["deps"].items():
        written = item.text()
        path = item.path_anywhere(wdir, written)
        if is_dvc_file(path):
            raise item.refuse(f"{written!r} is a DVC file; it cannot be a dependency")
        recorded = item.around.recorded(written, path, wdir)
        deps.append(Dependency(path=recorded, project_path=path, place=item.place_outside(path)))
    return tuple(deps)


def _read_outputs(fields: Mapping[str, Shape], wdir: ProjectPath) -> Iterator[Output]:
    for section, kind in _SECTIONS:
        if section not in fields:
            continue
        for written, (shape, flags) in _merge_outputs(fields[section]).items():
            path = shape.path_anywhere(wdir, written)
            if is_dvc_file(path):
                raise shape.refuse(f"{written!r} is a DVC file; it cannot be an output")
            yield Output(
                path=shape.around.recorded(written, path, wdir),
                project_path=path,
                kind=kind,
                cache=flags.get("cache", True),
                persist=flags.get("persist", False),
                push=flags.get("push", True),
                place=shape.place_outside(path),
                plot={name: flags[name] for name in PLOT_PROPERTIES if name in flags},
            )


def _merge_outputs(section: Shape) -> dict[str, tuple[Shape, dict[str, Any]]]:
    """Fold repeated paths of one section: as in DVC, the first keeps the position, later flags override."""
    merged: dict[str, tuple[Shape, dict[str, Any]]] = {}
    for item in section.items():
        if isinstance(item.value, dict):
            for path, flags in item.mapping().items():
                shape = item.inner(path, flags)
                merged.setdefault(path, (shape, {}))[1].update(flags)
        else:
            merged.setdefault(item.text(), (item, {}))
    return merged


def _read_settings(fields: Mapping[str, Shape]) -> Shape | None:
    """Take meta.wherry. Other tools may keep anything else under meta."""
    meta = fields.get("meta")
    if meta is None or not isinstance(meta.value, dict) or meta.value.get("wherry") is None:
        return None
    return meta.inner("wherry", meta.value["wherry"])


def _places(settings: Shape) -> dict[str, Place]:
    return {key: settings.inner(key, value).place for key, value in settings.mapping().items()}
