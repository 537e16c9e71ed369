"""Lock files of other installers, as pip can install them.

A lock names the version of every package; what has to be written for pip is which of them are wanted. uv's names the
project's own needs, and pip chooses among the locked versions; poetry's does not, so each package is installed as it stands.
"""

import posixpath
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wherry.service.domain.errors import PipelineInvalid, Place
from wherry.service.domain.paths import ProjectPath

# pip's own index and its mirror names: whichever the operator gives stands for them.
_USUAL_INDEXES = frozenset({"https://pypi.org/simple", "https://pypi.python.org/simple"})

# What could end a line or an option in a requirements file.
_UNSAFE = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be installed of a lock."""

    requirements: str
    """A requirements file."""
    constraints: str = ""
    """Versions to choose from; empty: the requirements name them all."""


def read_uv_lock(data: bytes, path: ProjectPath) -> Wanted:
    """Take the needs of the project itself, and its group `dev`, out of a uv.lock.

    Raises:
        PipelineInvalid: if it is no such file.
    """
    packages = _packages(data, path)
    own = [package for package in packages if _is_own(package.get("source"))]
    if not own:
        raise PipelineInvalid(f"{path} has no project of its own", place=Place(path=path))
    root = next((package for package in own if "." in _table(package, "source").values()), own[0])
    named: dict[str, str] = {}
    for item in [*_items(root, "dependencies"), *_items(_table(root, "dev-dependencies"), "dev")]:
        named[_requirement(item)] = ""
    lines = [*_indexes(packages), *_unless_own(named, own)]
    return Wanted(
        requirements=_joined(lines, path),
        constraints=_joined((line for package in packages for line in _uv_constraint(package)), path),
    )


def read_poetry_lock(data: bytes, path: ProjectPath) -> Wanted:
    """Take every package that is not optional out of a poetry.lock.

    Raises:
        PipelineInvalid: if it is no such file.
    """
    packages = _packages(data, path)
    needed = _poetry_markers(packages)
    lines = list(_indexes_of_poetry(packages))
    for package in packages:
        if package.get("optional"):
            continue
        name = str(package["name"])
        marker = package.get("markers") or needed.get(_normal(name), "")
        if isinstance(marker, Mapping):
            marker = marker.get("main", "")
        target = _poetry_target(package, path.rpartition("/")[0])
        lines.append(f"{target} ; {marker}" if marker else target)
    return Wanted(requirements=_joined(lines, path))


def _packages(data: bytes, path: ProjectPath) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise PipelineInvalid(f"{path} is not valid TOML: {exc}", place=Place(path=path)) from exc
    packages = document.get("package", [])
    if not isinstance(packages, list) or not all(
        isinstance(package, dict) and isinstance(package.get("name"), str) for package in packages
    ):
        raise PipelineInvalid(
            f"{path} is not a lock file: its packages have no names", place=Place(path=path)
        )
    return packages


def _is_own(source: object) -> bool:
    """Whether a package of uv's lock is the project, or one beside it in the same workspace."""
    return isinstance(source, Mapping) and bool({"virtual", "editable", "directory"} & source.keys())


def _requirement(item: Mapping[str, Any]) -> str:
    extras = ",".join(str(extra) for extra in item.get("extra", ()))
    marker = item.get("marker", "")
    return f"{item.get('name', '')}{f'[{extras}]' if extras else ''}{f' ; {marker}' if marker else ''}"


def _unless_own(lines: Iterable[str], own: Sequence[Mapping[str, Any]]) -> list[str]:
    """Leave the project's own packages out: they are imported from the workspace."""
    names = {_normal(package["name"]) for package in own}
    return [line for line in lines if _normal(re.split(r"[\[ ;]", line, maxsplit=1)[0]) not in names]


def _uv_constraint(package: Mapping[str, Any]) -> Iterable[str]:
    source, name = _table(package, "source"), package["name"]
    markers = [f"({marker})" for marker in package.get("resolution-markers", ())]
    suffix = f" ; {' or '.join(markers)}" if markers else ""
    if "git" in source:
        address, _, commit = str(source["git"]).partition("#")
        yield f"{name} @ git+{address.partition('?')[0]}@{commit}{suffix}"
    elif "url" in source:
        yield f"{name} @ {source['url']}{suffix}"
    elif "registry" in source and "version" in package:
        yield f"{name}=={package['version']}{suffix}"


def _indexes(packages: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [str(_table(package, "source").get("registry", "")) for package in packages]
    return _extra_indexes(found)


def _indexes_of_poetry(packages: Sequence[Mapping[str, Any]]) -> list[str]:
    sources = [_table(package, "source") for package in packages]
    return _extra_indexes(str(source["url"]) for source in sources if source.get("type") == "legacy")


def _extra_indexes(addresses: Iterable[str]) -> list[str]:
    wanted = (address.rstrip("/") for address in addresses if address.startswith(("https://", "http://")))
    return [
        f"--extra-index-url {address}" for address in dict.fromkeys(wanted) if address not in _USUAL_INDEXES
    ]


def _poetry_target(package: Mapping[str, Any], folder: str) -> str:
    source, name = _table(package, "source"), package["name"]
    match source.get("type"):
        case "git":
            return f"{name} @ git+{source['url']}@{source.get('resolved_reference', '')}"
        case "url":
            return f"{name} @ {source['url']}"
        case "file" | "directory":
            return "./" + posixpath.normpath(posixpath.join(folder, str(source["url"])))
        case _:
            return f"{name}=={package.get('version', '')}"


def _poetry_markers(packages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """For locks of poetry before 2, which say only at each edge when a package is needed.

    One that some package needs always, or that nobody needs, which is what the project itself asks for, gets no marker.
    """
    edges: dict[str, list[str]] = {}
    for package in packages:
        for name, wanted in _table(package, "dependencies").items():
            for item in wanted if isinstance(wanted, list) else [wanted]:
                marker = item.get("markers", "") if isinstance(item, Mapping) else ""
                edges.setdefault(_normal(name), []).append(str(marker))
    # An extra of a package is asked for by name: whether it is, the lock does not say at the edge.
    plain = {name: [marker for marker in found if "extra ==" not in marker] for name, found in edges.items()}
    return {
        name: " or ".join(f"({marker})" for marker in dict.fromkeys(found))
        for name, found in plain.items()
        if found and all(found)
    }


def _table(package: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = package.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _items(package: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = package.get(name, [])
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _joined(lines: Iterable[str], path: ProjectPath) -> str:
    found = list(lines)
    if any(_UNSAFE.search(line) for line in found):
        raise PipelineInvalid(f"{path} has a line break where none can be", place=Place(path=path))
    return "".join(f"{line}\n" for line in found)
