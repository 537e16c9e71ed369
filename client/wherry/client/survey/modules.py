"""Which files of the project an import means, and where Python would have to look for them."""

import posixpath
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from wherry.client.survey.sources import Import, PythonSource

# Where the modules of a project lie that is not installed.
_USUAL_PLACES = (".", "src")


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """What a program imports of the project, directly or not."""

    files: tuple[str, ...]
    """Without the program itself, in the order in which they are found."""
    needed_places: Mapping[str, tuple[str, str]]
    """Folders that PYTHONPATH must name, each with the file and the module that need it."""


def find_closure(
    program: str, sources: Mapping[str, PythonSource], files: Collection[str], *, wdir: str, as_module: bool
) -> Closure:
    """Follow the imports of a program that is started in `wdir`; `as_module`: by `python -m`."""
    own_place = wdir if as_module else posixpath.dirname(program) or "."
    places = list(dict.fromkeys([own_place, *_USUAL_PLACES, wdir]))
    needed: dict[str, tuple[str, str]] = {}
    found: dict[str, None] = {}
    waiting = [program]
    while waiting:
        path = waiting.pop(0)
        source = sources.get(path)
        for one in source.imports if source is not None else ():
            place, targets = _resolve(one, path, places, files)
            if place not in {None, own_place}:
                needed.setdefault(str(place), (path, one.module))
            for target in targets:
                if target != program and target not in found:
                    found[target] = None
                    waiting.append(target)
    return Closure(files=tuple(found), needed_places=needed)


def foreign_packages(imports: Iterable[Import], files: Iterable[str]) -> list[str]:
    """Name the packages that are imported and neither Python's own nor, wherever they may lie, the project's."""
    own = {part.removesuffix(".py") for file in files if file.endswith(".py") for part in file.split("/")}
    tops = {one.top for one in imports if not one.level and one.top}
    return sorted(tops - own - sys.stdlib_module_names - {"__future__"})


def _resolve(
    one: Import, path: str, places: Sequence[str], files: Collection[str]
) -> tuple[str | None, list[str]]:
    """Where a module was found, None for relative and foreign ones, and its files."""
    if one.level:
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(path), *[".."] * (one.level - 1)))
        return None, list(_files_of(folder, one, files))
    if one.top in sys.stdlib_module_names or one.top == "__future__":
        return None, []
    for place in places:
        targets = list(_files_of(place, one, files))
        if targets:
            return place, targets
    return None, []


def _files_of(place: str, one: Import, files: Collection[str]) -> Iterator[str]:
    """Yield the files that Python would run for an import, if it looked in a folder."""
    at = place
    parts = one.module.split(".") if one.module else []
    for part in parts:
        at = posixpath.normpath(posixpath.join(at, part))
        if f"{at}.py" in files:
            yield f"{at}.py"
            return
        if f"{at}/__init__.py" in files:
            yield f"{at}/__init__.py"
    for name in one.names:
        inner = posixpath.normpath(posixpath.join(at, name))
        for file in (f"{inner}.py", f"{inner}/__init__.py"):
            if file in files and (parts or one.level):
                yield file
