"""The shape of dvc.yaml, checked as DVC's schema checks it: before templates are resolved, and never again after."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from wherry.service.domain.dvc.shape import Shape

TOP_LEVEL = frozenset({"stages", "vars", "params", "metrics", "plots", "artifacts", "datasets"})
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
PLOT_PROPERTIES = ("template", "x", "y", "x_label", "y_label", "title", "header")
"""How an output that is a plot may be shown."""
_PLOT_FLAGS = frozenset({*_OUTPUT_FLAGS, *PLOT_PROPERTIES})

# What older versions of DVC took, and what is written now.
_FORMER_KEYS = MappingProxyType(
    {
        "live": "DVC 3 has no live: list the files that it writes under metrics and plots.",
        "locked": "It is called frozen now.",
        "md5": "It belongs into dvc.lock; leave it out.",
        "outs_no_cache": "Write it under outs, as `- path: {cache: false}`.",
        "outs_persist": "Write it under outs, as `- path: {persist: true}`.",
        "metrics_no_cache": "Write it under metrics, as `- path: {cache: false}`.",
        "plots_no_cache": "Write it under plots, as `- path: {cache: false}`.",
    }
)


def check_top_level(fields: Mapping[str, Shape]) -> None:
    """Check all sections but the stages.

    Raises:
        PipelineInvalid: at the first value of a wrong kind.
    """
    for name in ("params", "metrics"):
        if name in fields:
            fields[name].texts()
    if "plots" in fields:
        _check_top_level_plots(fields["plots"])
    if "vars" in fields:
        _check_vars(fields["vars"])
    if "artifacts" in fields:
        _check_artifacts(fields["artifacts"])


def _check_artifacts(artifacts: Shape) -> None:
    for name, value in artifacts.mapping().items():
        artifact = artifacts.inner(name, value, f"artifact {name!r}")
        parts = artifact.fields({"path", "type", "desc", "labels", "meta"})
        if "path" not in parts:
            raise artifact.refuse("it has no path", hint="Name the file: `path: model.pkl`.")
        for key in ("path", "type", "desc"):
            if key in parts:
                parts[key].text()
        if "labels" in parts:
            parts["labels"].texts()


def check_definition(stage: Shape) -> None:
    """Check an entry under `stages`: a stage, with or without matrix, or foreach with its `do`.

    Raises:
        PipelineInvalid: at the first value of a wrong kind.
    """
    mapping = stage.mapping()
    if "foreach" not in mapping and "do" not in mapping:
        _check_stage(stage)
        return
    for key in mapping:
        if key not in {"foreach", "do"}:
            raise stage.inner(key, None).refuse(
                f"{key!r} cannot stand beside foreach", hint="Everything but foreach belongs under do."
            )
    fields = stage.fields({"foreach", "do"})
    for name in ("foreach", "do"):
        if name not in fields:
            raise stage.refuse(f"it has no {name!r}", hint="foreach and do stand together, and alone.")
    foreach = fields["foreach"]
    if not isinstance(foreach.value, dict | list | str):
        raise foreach.refuse("foreach must be a list, a mapping, or ${…} that stands for one")
    _check_stage(fields["do"])


def _check_stage(stage: Shape) -> None:
    fields = stage.fields(_STAGE_KEYS, former=_FORMER_KEYS)
    if "cmd" not in fields:
        raise stage.refuse("it has no cmd", hint="Data without a command is tracked with `dvc add`.")
    if not isinstance(fields["cmd"].value, list):
        fields["cmd"].text()
    for name, check in _CHECKS.items():
        if name in fields:
            check(fields[name])


def _check_texts_or_mappings(section: Shape) -> None:
    for item in section.items():
        if not isinstance(item.value, str):
            item.mapping()


def _check_top_level_plots(section: Shape) -> None:
    _check_texts_or_mappings(section)
    for item in section.items():
        for name, value in item.mapping().items() if isinstance(item.value, dict) else ():
            plot = item.inner(name, value)
            for key, prop in plot.fields(_PLOT_TEXTS).items() if value is not None else ():
                _check_plot_property(key, prop)


def _check_plot_property(key: str, prop: Shape) -> None:
    """An axis may name fields by file; only y may name several."""
    if key in {"x", "y"} and isinstance(prop.value, dict):
        for file, value in prop.mapping().items():
            _check_plot_fields(key, prop.inner(file, value))
    else:
        _check_plot_fields(key, prop)


def _check_plot_fields(key: str, prop: Shape) -> None:
    if key == "y" and isinstance(prop.value, list):
        prop.texts()
    else:
        prop.text()


def _check_vars(section: Shape) -> None:
    for item in section.items():
        if not isinstance(item.value, str | dict):
            raise item.refuse("an item of vars is a file, or a mapping of names to values")


def _check_matrix(matrix: Shape) -> None:
    for name, value in matrix.mapping().items():
        if not isinstance(value, str | list):
            raise matrix.inner(name, value).refuse(
                f"the axis {name!r} must be a list, or ${{…}} that stands for one"
            )


def _check_outputs(section: Shape, known: frozenset[str] = _OUTPUT_FLAGS) -> None:
    for item in section.items():
        if isinstance(item.value, str):
            continue
        if not isinstance(item.value, dict):
            raise item.refuse("an output is a path, or a path with a mapping of flags")
        for path, flags in item.mapping().items():
            _check_flags(item.inner(path, flags), known)


def _check_flags(flags: Shape, known: frozenset[str]) -> None:
    for name, value in flags.fields(known).items():
        if name in _BOOL_FLAGS or name == "header":
            value.flag()
        elif name in _TEXT_FLAGS or name in _PLOT_TEXTS:
            value.text()
        elif name == "labels":
            value.texts()


def _check_plots(section: Shape) -> None:
    _check_outputs(section, _PLOT_FLAGS)


_CHECKS: Mapping[str, Callable[[Shape], object]] = MappingProxyType(
    {
        "wdir": Shape.text,
        "desc": Shape.text,
        "frozen": Shape.flag,
        "always_changed": Shape.flag,
        "deps": Shape.texts,
        # DVC takes any keys here; those that are no text fail where params are read.
        "params": _check_texts_or_mappings,
        "vars": _check_vars,
        "matrix": _check_matrix,
        "outs": _check_outputs,
        "metrics": _check_outputs,
        "plots": _check_plots,
    }
)
