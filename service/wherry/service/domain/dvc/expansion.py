"""Templates of a dvc.yaml resolved: foreach and matrix become stages, and `${…}` becomes what it stands for.

Shapes that come out hold resolved values under the keys of what is written, so that errors find their place.
Literal stages with `@` in their name are refused: DVC finds none of them, or takes a generated one instead.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wherry.service.domain.dvc.context import (
    Context,
    FilesNeeded,
    ValueFiles,
    clean,
    folder_of,
    load_default,
    load_vars,
)
from wherry.service.domain.dvc.dvc_config import DEFAULT_PARSING, ParsingSettings
from wherry.service.domain.dvc.interpolation import (
    Accepts,
    Effort,
    Rules,
    Selected,
    TemplateError,
    TemplateTexts,
    check_syntax,
    count_values,
    holds_expressions,
    refuse_expressions,
    resolve,
    resolve_text,
    to_text,
)
from wherry.service.domain.dvc.shape import Shape, kind_of
from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath

# More than any scheduler of ours could run; a matrix reaches it with six axes of ten.
_GENERATED_MAX = 100_000

Noticed = Callable[[Context, Sequence[str], Any], None]
"""Told the context, the parts of an expression, and its value."""

_EAGER = ("metrics", "params", "plots", "datasets", "artifacts")


class ResolvedStage(NamedTuple):
    """A stage with nothing left to resolve."""

    key: str
    """Its name within the file; of a generated one `group@key`."""
    place: Place
    """Where it, or what generates it, is named."""
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """What all of one dvc.yaml is resolved with."""

    path: ProjectPath
    files: ValueFiles
    context: Context
    parsing: ParsingSettings
    effort: Effort = field(default_factory=Effort)
    texts: TemplateTexts = field(default_factory=TemplateTexts)
    noticed: Noticed | None = None
    """Hears of each value that a stage takes from the context."""

    def rules(self, context: Context, accepts: Accepts, *, marks_selected: bool = False) -> Rules:
        """Make the rules for one value. Options of `parsing` count in cmd only."""
        parsing = self.parsing if accepts is Accepts.COMMAND else DEFAULT_PARSING
        return Rules(
            select=context.select if self.noticed is None else self._noticing(context, self.noticed),
            accepts=accepts,
            effort=self.effort,
            texts=self.texts,
            parsing=parsing,
            marks_selected=marks_selected,
        )

    @staticmethod
    def _noticing(context: Context, noticed: Noticed) -> Callable[[str, Sequence[str]], Any]:
        def select(expression: str, words: Sequence[str]) -> Any:
            value = context.select(expression, words)
            noticed(context, words, value)
            return value

        return select


def open_templates(
    fields: Mapping[str, Shape], path: ProjectPath, files: ValueFiles, parsing: ParsingSettings
) -> Templates:
    """Gather the values of a file, and check that what DVC resolves beside the stages can be resolved.

    Raises:
        FilesNeeded: if the caller has to fetch files first.
        PipelineInvalid: with its place.
    """
    folder = folder_of(path)
    context = load_default(folder, files)
    if "vars" in fields:
        shape = fields["vars"]
        try:
            refuse_expressions(shape.value)
            context = load_vars(context, shape.value, folder, files)
        except TemplateError as exc:
            raise _refuse(shape, exc, "vars") from exc
    templates = Templates(path=path, files=files, context=context, parsing=parsing)
    for name in _EAGER:
        if name in fields:
            _check_section(fields[name], name, templates)
    return templates


def resolve_section(shape: Shape, name: str, templates: Templates) -> Any:
    """Resolve the templates of a section on the top level.

    Raises:
        PipelineInvalid: with its place, if one cannot be resolved.
    """
    try:
        check_syntax(shape.value)
        return resolve(shape.value, templates.rules(templates.context, Accepts.ANYTHING))
    except TemplateError as exc:
        raise _refuse(shape, exc, name) from exc


def _check_section(shape: Shape, name: str, templates: Templates) -> None:
    resolved = resolve_section(shape, name, templates)
    if name == "artifacts":
        for written, key in zip(shape.value, resolved, strict=False):
            if not isinstance(key, str):
                raise shape.inner(written, None).refuse(
                    f"{written!r} must stand for text, not {kind_of(key)}"
                )


def expand_stages(stages: Shape, templates: Templates) -> Iterator[ResolvedStage]:
    """Yield all stages under `stages`, generated ones in the place of what generates them.

    Raises:
        FilesNeeded: after the last stage, with all files that the caller has to fetch first.
        PipelineInvalid: with its place.
    """
    needed: list[ProjectPath] = []
    for name, value in stages.mapping().items():
        stage = stages.inner(name, value, f"stage {name!r}")
        place = stage.place
        for instance in _instances(stage, name, templates):
            try:
                resolved = _resolve_stage(instance, templates)
            except FilesNeeded as exc:
                needed.extend(exc.paths)
                continue
            yield ResolvedStage(key=instance.key, place=place, shape=resolved)
    if needed:
        raise FilesNeeded(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    """What one entry makes stages of, looked through once for all of them."""

    fixed: Mapping[str, Any]
    """What is the same in all of them: it holds no expressions."""
    open: Mapping[str, Any]
    """What must be resolved."""


class _Instance(NamedTuple):
    """One stage of an entry, before it is resolved."""

    key: str
    template: _Template
    shape: Shape
    context: Context


def _instances(stage: Shape, name: str, templates: Templates) -> Iterator[_Instance]:
    left_out: tuple[str, ...] = ()
    if "matrix" in stage.value:
        source = stage.inner("matrix", stage.value["matrix"])
        shape, left_out = stage, ("matrix",)
        iterate = _matrix_items
    elif "foreach" in stage.value:
        source = stage.inner("foreach", stage.value["foreach"])
        shape = stage.inner("do", stage.value["do"])
        iterate = _foreach_items
    else:
        _check_name(stage, name)
        yield _Instance(name, _open_template(stage, ()), stage, templates.context)
        return
    rules = templates.rules(templates.context, Accepts.ANYTHING, marks_selected=True)
    try:
        items = iterate(source, rules)
        templates.effort.spend(len(items) * count_values(shape.value))
    except TemplateError as exc:
        raise _refuse(source, exc, str(source.keys[-1])) from exc
    if not items:
        return
    template = _open_template(shape, left_out)
    for key, item in items.items():
        _check_generated_key(source, key)
        generated = f"{name}@{key}"
        context = templates.context.with_reserved(item)
        yield _Instance(generated, template, shape.named(f"stage {generated!r}"), context)


def _check_name(stage: Shape, key: str) -> None:
    if not key:
        raise stage.refuse("a stage needs a name")
    if "@" in key:
        raise stage.refuse(
            "'@' in a stage's name is kept for foreach and matrix; DVC cannot find such a stage",
            hint="Name it without '@'.",
        )


def _check_generated_key(source: Shape, key: str) -> None:
    if not key:
        raise source.refuse("it makes a stage whose key is empty; DVC cannot read that")
    if "@" in key:
        raise source.refuse(f"the key {key!r} holds '@', and DVC cannot find such a stage")


def _open_template(shape: Shape, left_out: tuple[str, ...]) -> _Template:
    """Check the expressions of a template; keys that are `left_out` are not the stage's."""
    fixed: dict[str, Any] = {}
    unresolved: dict[str, Any] = {}
    for name, value in shape.value.items():
        if name in left_out:
            continue
        try:
            check_syntax(value)
        except TemplateError as exc:
            raise _refuse(shape.inner(name, value), exc, name) from exc
        if name != "vars":
            (unresolved if holds_expressions(value) else fixed)[name] = value
    return _Template(fixed=fixed, open=unresolved)


def _resolve_stage(instance: _Instance, templates: Templates) -> Shape:
    _, template, shape, context = instance
    if "vars" in shape.value:
        context = _local_context(instance, templates)
    command, scalars = templates.rules(context, Accepts.COMMAND), templates.rules(context, Accepts.SCALARS)
    resolved = dict(template.fixed)
    for name, value in template.open.items():
        try:
            resolved[name] = resolve(value, command if name == "cmd" else scalars)
        except TemplateError as exc:
            raise _refuse(shape.inner(name, value), exc, name) from exc
    return shape.holding(resolved)


def _local_context(instance: _Instance, templates: Templates) -> Context:
    shape, context = instance.shape, instance.context
    folder = folder_of(templates.path)
    if shape.value.get("wdir"):
        wdir = shape.inner("wdir", shape.value["wdir"])
        try:
            # The stage's own vars cannot be seen here: their files are found from wdir.
            resolved = resolve_text(wdir.value, templates.rules(context, Accepts.ANYTHING))
            folder = wdir.path_anywhere(folder, to_text(resolved))
        except TemplateError as exc:
            raise _refuse(wdir, exc, "wdir") from exc
    section = shape.inner("vars", shape.value["vars"])
    try:
        refuse_expressions(section.value)
        return load_vars(context, section.value, folder, templates.files, stage=instance.key)
    except TemplateError as exc:
        raise _refuse(section, exc, "vars") from exc


def _refuse(shape: Shape, exc: TemplateError, name: str) -> PipelineInvalid:
    """Make the error at the place that the path of a TemplateError leads to."""
    place = shape.document.place(*shape.keys, *exc.path)
    where = ".".join(str(key) for key in (name, *exc.path))
    return PipelineInvalid(f"{shape.what}: {where}: {exc.message}", hint=exc.hint, place=place)


_Items = Mapping[str, Mapping[str, Any]]


def _foreach_items(source: Shape, rules: Rules) -> _Items:
    """By key: what `item`, and of a mapping `key`, stand for."""
    data = resolve(source.value, rules)
    selected = isinstance(data, Selected)
    data = data.value if isinstance(data, Selected) else data
    if not isinstance(data, list | dict):
        raise TemplateError(f"foreach goes over a list or a mapping, not {kind_of(data)}")
    if isinstance(data, dict):
        return {
            to_text(key): {"item": _kept(value, selected=selected), "key": to_text(key)}
            for key, value in data.items()
        }
    if any(_is_composite(value) for value in data):
        return {str(index): {"item": _kept(value, selected=selected)} for index, value in enumerate(data)}
    return {_key_text(value, selected=selected): {"item": _kept(value, selected=selected)} for value in data}


def _kept(value: Any, *, selected: bool) -> Any:
    """What of a value can be named. What is selected was cleaned when it became part of the context."""
    return value if selected else clean(value)


def _matrix_items(source: Shape, rules: Rules) -> _Items:
    """By key: the values of all axes as `item`, and the key itself."""
    axes = {name: list(_axis(name, value)) for name, value in resolve(source.value, rules).items()}
    count = math.prod(len(axis) for axis in axes.values())
    if count > _GENERATED_MAX:
        raise TemplateError(f"matrix makes {count} stages; Wherry reads at most {_GENERATED_MAX}")
    items = {}
    for combination in itertools.product(*axes.values()):
        key = "-".join(fragment for fragment, _ in combination)
        values = {name: value for name, (_, value) in zip(axes, combination, strict=True)}
        items[key] = {"item": values, "key": key}
    return items


def _axis(name: str, data: Any) -> Iterator[tuple[str, Any]]:
    selected = isinstance(data, Selected)
    values: Sequence[Any] | Mapping[str, Any] = data.value if isinstance(data, Selected) else data
    # DVC goes over the characters of a text that is written in place, too.
    if not isinstance(values, list | dict) and (selected or not isinstance(values, str)):
        raise TemplateError(f"an axis of matrix is a list, not {kind_of(values)}", path=(name,))
    for index, value in enumerate(values):
        text = f"{name}{index}" if _is_composite(value) else _key_text(value, selected=selected)
        yield text, _kept(value, selected=selected)


def _is_composite(value: Any) -> bool:
    inner = value.value if isinstance(value, Selected) else value
    return isinstance(inner, list | dict)


def _key_text(value: Any, *, selected: bool) -> str:
    """A value as part of a name. DVC writes `true` for what stands in place, and `True` for what `${…}` names."""
    if isinstance(value, Selected):
        return str(value.value)
    return str(value) if selected else to_text(value)
