"""What a dvc.yaml says about results: its stages, the top-level metrics, params and plots, and the values it uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wherry.service.domain.dvc.context import Context, Load, folder_of
from wherry.service.domain.dvc.dvc_config import ParsingSettings
from wherry.service.domain.dvc.expansion import Templates, resolve_section
from wherry.service.domain.dvc.pipeline_file import open_pipeline_document, read_stages
from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.stage import Stage
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.paths import ProjectPath, Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredResults:
    """One dvc.yaml, as far as it is about results."""

    file: ProjectPath
    stages: tuple[Stage, ...]
    metrics: tuple[ProjectPath, ...]
    """Of the top level; so are the next two."""
    params: tuple[ProjectPath, ...]
    plots: tuple[Any, ...]
    """Resolved, as written: an item is a path, or a mapping of an id to its properties."""
    used: Mapping[ProjectPath, Mapping[str, Any]]
    """By file, the values that templates of stages took from it, under their dotted keys."""


@dataclass(slots=True)
class _Used:
    """Collects what templates take from files."""

    values: dict[ProjectPath, dict[str, Any]] = field(default_factory=dict)

    def notice(self, context: Context, words: Sequence[str], value: Any) -> None:
        """Keep a value, if it is from a file. Of a mapping DVC keeps nothing."""
        if words[0] in context.reserved or isinstance(value, dict):
            return
        for end in range(len(words), 0, -1):
            origin = context.origins.get(tuple(words[:end]))
            if origin is not None:
                if origin in context.loaded:
                    self.values.setdefault(ProjectPath(origin), {})[".".join(words)] = value
                return


def read_declared_results(
    data: bytes, path: ProjectPath, *, load: Load, parsing: ParsingSettings, around: Surroundings
) -> DeclaredResults:
    """Read a dvc.yaml.

    Raises:
        FilesNeeded: from `load`, as `parse_pipeline_file`.
        PipelineInvalid: with the place, if DVC would refuse the file.
    """
    document = parse_yaml(data, path)
    fields, templates = open_pipeline_document(document, path, load=load, parsing=parsing, around=around)
    used = _Used()
    stages = read_stages(fields, replace(templates, noticed=used.notice))
    return DeclaredResults(
        file=path,
        stages=stages,
        metrics=_paths("metrics", fields, templates),
        params=_paths("params", fields, templates),
        plots=tuple(resolve_section(fields["plots"], "plots", templates)) if "plots" in fields else (),
        used=used.values,
    )


def _paths(name: str, fields: Mapping[str, Shape], templates: Templates) -> tuple[ProjectPath, ...]:
    if name not in fields:
        return ()
    section = fields[name]
    written = resolve_section(section, name, templates)
    folder = folder_of(templates.path)
    return tuple(
        section.inner(index, one).path_anywhere(folder, one)
        for index, one in enumerate(written)
        if isinstance(one, str)
    )
