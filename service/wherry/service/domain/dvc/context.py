"""The values that `${…}` can name: params.yaml, the files and mappings of `vars`, and `item` and `key`.

Nothing is read here: files come from the caller, who may answer that it has yet to fetch them. Contexts do not
change; merging makes new ones.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from wherry.service.domain.dvc.interpolation import Selected, TemplateError
from wherry.service.domain.dvc.params import parse_params_file
from wherry.service.domain.dvc.params_section import DEFAULT_PARAMS_FILE
from wherry.service.domain.dvc.shape import kind_of
from wherry.service.domain.dvc.yaml12 import parse_yaml
from wherry.service.domain.errors import PathEscapes, PipelineInvalid, Place
from wherry.service.domain.paths import NOWHERE, ProjectPath, Surroundings, resolve_project_path

Load = Callable[[ProjectPath], bytes | None]
"""Gives the content of a file of the project; None: there is none. May raise FilesNeeded."""

_NAMES_SHOWN_MAX = 10


class FilesNeeded(Exception):
    """Files that must be at hand before a pipeline file can be read; the caller gets them and asks again."""

    def __init__(self, paths: Iterable[ProjectPath]) -> None:
        """Name the files."""
        super().__init__(", ".join(paths))
        self.paths = tuple(dict.fromkeys(paths))


class ValueFiles:
    """The files of values that one dvc.yaml reads, each parsed once."""

    def __init__(self, load: Load, around: Surroundings = NOWHERE) -> None:
        """Get contents through `load`; `around` says where the project lies."""
        self._load = load
        self._around = around
        self._parsed: dict[ProjectPath, Mapping[Any, Any] | None] = {}

    def find(self, folder: ProjectPath, written: str) -> ProjectPath:
        """Resolve a path as written in `vars`.

        Raises:
            TemplateError: if it leads to where no file can be had from.
        """
        try:
            path = self._around.resolve(folder, written)
        except PathEscapes as exc:
            raise TemplateError(exc.message) from exc
        if not self._around.reach(path):
            raise TemplateError(
                f"{written!r} is not a file inside the repository",
                hint="Put it there; the service reads no other.",
            )
        return path

    def read(self, path: ProjectPath) -> Mapping[Any, Any] | None:
        """The mapping in a file; None: there is no such file.

        Raises:
            FilesNeeded: if the caller has to fetch it first.
            PipelineInvalid: if it cannot be read, or is not a mapping.
        """
        if path not in self._parsed:
            data = self._load(path)
            self._parsed[path] = None if data is None else parse_params_file(data, path)
        return self._parsed[path]

    def place(self, path: ProjectPath, keys: tuple[str | int, ...]) -> Place:
        """Find where something stands in a file that was read; the line is known for YAML only."""
        data = self._load(path)
        if data is None or posixpath.splitext(path)[1].lower() in {".json", ".toml", ".py"}:
            return Place(path=path)
        return parse_yaml(data, path).place(*keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Values by name, and where they are from."""

    values: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[tuple[str, ...], str] = field(default_factory=dict, repr=False)
    """For each path that was added, the file or item of `vars` that added it."""
    loaded: Mapping[ProjectPath, tuple[str, ...] | None] = field(default_factory=dict)
    """Files that were merged: the keys taken of each, None for all."""
    reserved: Mapping[str, Any] = field(default_factory=dict)
    """`item` and `key`: they hide values of the same name, and `vars` may not set them."""

    def select(self, expression: str, words: Sequence[str]) -> Any:
        """Find the value of an expression by its parts: names of mappings and indices of lists.

        Raises:
            TemplateError: if there is none.
        """
        value: Any = self.reserved if words[0] in self.reserved else self.values
        for position, word in enumerate(words):
            # Of a list, or what is not there, the rules are in _step; this is the common case.
            if isinstance(value, dict) and word in value:
                value = value[word]
                continue
            found = _step(value, word)
            if found is None:
                raise self._unknown(expression, words[:position], word, value)
            value = found.value
        return value

    def _unknown(self, expression: str, before: Sequence[str], word: str, value: Any) -> TemplateError:
        where = f"{'.'.join(before)!r}" if before else self._files()
        if isinstance(value, dict):
            names = [*self.reserved, *self.values] if not before else list(value)
            return TemplateError(
                f"'${{{expression}}}': {where} has no {word!r}", hint=_near(word, before, names)
            )
        if isinstance(value, list):
            hint = f"Its items are 0 to {len(value) - 1}." if value else "It is empty."
            return TemplateError(f"'${{{expression}}}': the list {where} has no {word!r}", hint=hint)
        return TemplateError(
            f"'${{{expression}}}': {where} is {kind_of(value)} and has no {word!r}",
            hint=f"Write ${{{'.'.join(before)}}}.",
        )

    def _files(self) -> str:
        names = [str(path) for path in self.loaded]
        if any(origin not in self.loaded for origin in self.origins.values()):
            names.append("vars")
        return " and ".join(names) if names else f"there is no {DEFAULT_PARAMS_FILE} and no vars; it"

    def with_reserved(self, values: Mapping[str, Any]) -> "Context":
        """Add `item` and `key`, cleaned already."""
        return Context(values=self.values, origins=self.origins, loaded=self.loaded, reserved=values)

    def merge(self, update: Mapping[Any, Any], origin: str) -> "Context":
        """Add values. Mappings are merged, everything else may be set only once, even to the same.

        Raises:
            TemplateError: if something is set twice, or is of a kind that DVC cannot keep.
        """
        cleaned = clean(dict(update))
        taken = [name for name in self.reserved if name in cleaned]
        if taken:
            names = " and ".join(repr(name) for name in taken)
            raise TemplateError(
                f"{names} of {origin} cannot be set: foreach and matrix set it", hint="Rename it."
            )
        origins = dict(self.origins)
        values = _merge(self.values, cleaned, (), _Merging(origins=origins, origin=origin))
        return replace(self, values=values, origins=origins)

    def merge_file(self, item: str, folder: ProjectPath, files: ValueFiles) -> "Context":
        """Add the values of `path` or `path:key,key`, relative to a folder.

        Raises:
            FilesNeeded: if the caller has to fetch the file first.
            TemplateError: if it is not there, or what it adds is there already.
            PipelineInvalid: if it cannot be read.
        """
        written, _, selection = item.partition(":")
        keys = tuple(key for key in selection.split(",") if key) if selection else None
        path = files.find(folder, written)
        if path in self.loaded:
            if not keys and self.loaded[path] is None:
                return self
            _check_loaded(item, keys, self.loaded[path])
        values = files.read(path)
        if values is None:
            raise TemplateError(
                f"{path!r} is not among the project's files",
                hint="Paths in vars are relative to the folder of dvc.yaml, in a stage to its wdir.",
            )
        try:
            merged = self.merge(_take(values, keys, path), path)
        except TemplateError as exc:
            if exc.path:
                inside = ".".join(str(key) for key in exc.path)
                place = files.place(path, exc.path)
                raise PipelineInvalid(f"{inside}: {exc.message}", hint=exc.hint, place=place) from exc
            raise
        known = self.loaded.get(path)
        both = (*known, *(keys or ())) if known is not None else keys
        return replace(merged, loaded={**self.loaded, path: both})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merging:
    origins: dict[tuple[str, ...], str]
    origin: str


def _merge(
    into: Mapping[str, Any], update: Mapping[str, Any], path: tuple[str, ...], merging: _Merging
) -> dict[str, Any]:
    merged = dict(into)
    for key, value in update.items():
        inner = (*path, key)
        known = merged.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[key] = _merge(known, value, inner, merging)
            continue
        if key in merged:
            first = next(
                merging.origins[inner[:end]]
                for end in range(len(inner), -1, -1)
                if end == 0 or inner[:end] in merging.origins
            )
            raise TemplateError(
                f"{'.'.join(inner)!r} of {merging.origin} is set already, in {first}",
                hint="A value may be set only once, even to the same; remove one of the two.",
            )
        merged[key] = value
        merging.origins[inner] = merging.origin
    return merged


def clean(value: Any) -> Any:
    """Keep what DVC keeps of a value: entries whose key is text.

    Raises:
        TemplateError: if it holds a date, a set or a tuple; DVC fails on those.
    """
    if isinstance(value, Selected):
        return value.value
    if value is None or isinstance(value, str | bool | int | float | bytes):
        return value
    if isinstance(value, dict):
        return {key: _clean_inner(key, inner) for key, inner in value.items() if isinstance(key, str)}
    if isinstance(value, list):
        return [_clean_inner(index, inner) for index, inner in enumerate(value)]
    raise TemplateError(
        f"templating cannot keep a {type(value).__name__}, and DVC reads no stage of this folder then",
        hint="Write it as text, or put it into a file that templating does not read.",
    )


def _clean_inner(key: str | int, inner: Any) -> Any:
    try:
        return clean(inner)
    except TemplateError as exc:
        exc.path = (key, *exc.path)
        raise


def load_vars(
    context: Context, items: Sequence[Any], folder: ProjectPath, files: ValueFiles, *, stage: str = ""
) -> Context:
    """Add the items of a list under `vars`, of the file or of a stage.

    Raises:
        FilesNeeded: with all files that are needed, if some are.
        TemplateError: with the index of the item as its path.
        PipelineInvalid: if a file cannot be read.
    """
    _require([item for item in items if isinstance(item, str)], folder, files)
    prefix = f"{stage}.vars" if stage else "vars"
    for index, item in enumerate(items):
        try:
            if isinstance(item, str):
                context = context.merge_file(item, folder, files)
            else:
                context = context.merge(item, f"{prefix}[{index}]")
        except TemplateError as exc:
            exc.path = (index, *exc.path)
            raise
    return context


def load_default(folder: ProjectPath, files: ValueFiles) -> Context:
    """Begin with the params.yaml of the folder of dvc.yaml, if there is one.

    Raises:
        FilesNeeded: if the caller has to fetch it first.
        PipelineInvalid: if it cannot be read, or holds what templating cannot keep.
    """
    if files.read(default_params_file(folder)) is None:
        return Context()
    return Context().merge_file(DEFAULT_PARAMS_FILE, folder, files)


def default_params_file(folder: ProjectPath) -> ProjectPath:
    """The file that templating always reads for a dvc.yaml in `folder`."""
    return resolve_project_path(folder, DEFAULT_PARAMS_FILE)


def _require(items: Iterable[str], folder: ProjectPath, files: ValueFiles) -> None:
    """Name all missing files at once: fetching them together is faster than one by one."""
    needed: list[ProjectPath] = []
    for item in items:
        try:
            files.read(files.find(folder, item.partition(":")[0]))
        except FilesNeeded as exc:
            needed.extend(exc.paths)
        except (TemplateError, PipelineInvalid):
            continue  # said when it is the item's turn
    if needed:
        raise FilesNeeded(needed)


def _take(values: Mapping[Any, Any], keys: tuple[str, ...] | None, path: ProjectPath) -> Mapping[Any, Any]:
    if not keys:
        return values
    for key in keys:
        if key not in values:
            raise TemplateError(f"{path} has no {key!r}", hint=_near(key, (), [str(name) for name in values]))
    return {key: values[key] for key in keys}


def _check_loaded(item: str, keys: tuple[str, ...] | None, known: tuple[str, ...] | None) -> None:
    if known is None:
        raise TemplateError(f"{item!r} takes some keys of a file that is loaded as a whole already")
    if not keys:
        raise TemplateError(f"{item!r} loads a file as a whole of which some keys are loaded already")
    if set(keys) & set(known):
        raise TemplateError(f"{item!r} loads keys that are loaded already")


@dataclass(frozen=True, slots=True)
class _Found:
    value: Any


def _step(value: Any, word: str) -> _Found | None:
    if isinstance(value, list):
        try:
            return _Found(value[int(word)])
        except (ValueError, IndexError):
            return None
    return None


def _near(word: str, before: Sequence[str], names: Sequence[str]) -> str:
    near = get_close_matches(word, names, n=1)
    if near:
        return f"Did you mean {'.'.join([*before, near[0]])!r}?"
    if not names:
        return "It has no values."
    shown = ", ".join(repr(name) for name in names[:_NAMES_SHOWN_MAX])
    there = f"There are {shown}{' and others' if len(names) > _NAMES_SHOWN_MAX else ''}."
    if word in {"item", "key"} and not before:
        return f"{there} {word} is known inside of foreach and matrix only."
    if word.isupper() and not before:
        return f"{there} A variable of the shell is written ${word}, or \\${{{word}}}."
    return there


def folder_of(path: ProjectPath) -> ProjectPath:
    """The folder that holds a file."""
    return ProjectPath(posixpath.dirname(path) or ".")
