"""The `params` list of a stage: which keys of which files it reads. Their values are params.py's."""

from collections.abc import Mapping

from wherry.service.domain.dvc.shape import Shape
from wherry.service.domain.dvc.stage import ParamsDependency
from wherry.service.domain.paths import ROOT, ProjectPath

DEFAULT_PARAMS_FILE = "params.yaml"


def read_params_section(section: Shape, wdir: ProjectPath) -> tuple[ParamsDependency, ...]:
    """Read the list: one entry a file, the default file first, then as first named.

    A file named without keys is read whole, and then its other keys do not matter (DVC does the same).

    Raises:
        PipelineInvalid: if an item is neither a key nor a mapping of files to keys.
    """
    keys: dict[str, list[str] | None] = {}
    shapes: dict[str, Shape] = {}
    for item in section.items():
        if isinstance(item.value, str):
            shapes.setdefault(DEFAULT_PARAMS_FILE, item)
            _add(keys, DEFAULT_PARAMS_FILE, [_read_key(item)])
            continue
        item_keys = {file: _read_keys(item.inner(file, value)) for file, value in item.mapping().items()}
        for file, named in item_keys.items():
            shapes.setdefault(file, item)
            _add(keys, file, named)
    entries = [_resolve(shapes[file], file, wanted, wdir) for file, wanted in keys.items()]
    if len(entries) > 1:
        _refuse_two_spellings(shapes, entries)
        entries.sort(key=lambda entry: entry.path != DEFAULT_PARAMS_FILE)
    return tuple(entries)


def _add(keys: dict[str, list[str] | None], file: str, more: list[str]) -> None:
    known = keys.get(file, [])
    keys[file] = None if known is None or not more else [*known, *more]


def _read_keys(value: Shape) -> list[str]:
    """Keys of one file; none mean the whole file."""
    if value.value is None:
        return []
    return [_read_key(item) for item in value.items()]


def _read_key(item: Shape) -> str:
    key = item.text()
    if not key:
        raise item.refuse("a parameter needs a name")
    return key


def _resolve(shape: Shape, file: str, keys: list[str] | None, wdir: ProjectPath) -> ParamsDependency:
    path = shape.path_anywhere(wdir, file)
    # DVC normalises this path, unlike those of deps and outs, before it writes dvc.lock.
    normal = path if wdir == ROOT else shape.around.relative(path, wdir)
    return ParamsDependency(
        path=normal,
        project_path=path,
        # An absolute one is looked for as it is recorded.
        written="" if file == normal or file.startswith("/") else file,
        place=shape.place_outside(path),
        keys=None if keys is None else tuple(dict.fromkeys(keys)),
    )


def _refuse_two_spellings(shapes: Mapping[str, Shape], entries: list[ParamsDependency]) -> None:
    seen: set[str] = set()
    for shape, entry in zip(shapes.values(), entries, strict=True):
        if entry.path in seen:
            raise shape.refuse(f"the parameters file {entry.path!r} is written in two ways; write it in one")
        seen.add(entry.path)
