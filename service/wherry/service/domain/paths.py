"""Paths of a project: the one place where escape is checked."""

import bisect
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NewType

from wherry.service.domain.errors import PathEscapes

ProjectPath = NewType("ProjectPath", str)
"""Relative to the DVC root, "/" between parts, normalised. The root itself is ".".

Most lie inside the root. A dependency or output of a stage may also lie above it, with ".." parts in front, or elsewhere:
an absolute path or a URL, as far as nobody knows how it lies to the root. Where that is allowed, `Surroundings.reach`
says whether a path can be had at all.
"""

ROOT = ProjectPath(".")

_UP = ".."

# Names that need no normalising, one below another. Nearly all that is written.
_NORMAL = re.compile(r"[\w-][\w.-]*+(?:/[\w-][\w.-]*+)*+")
_PRIVATE = frozenset({".git", ".dvc"})

# Longer than any file system takes (Linux: PATH_MAX), so nothing real is refused.
PATH_BYTES_MAX = 4096

# Deeper than projects lie; every path of a project is as long to compare as the furthest leads up.
_LEVELS_MAX = 64


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a project lies on the machine that it is submitted from."""

    root: str = ""
    """The DVC root, absolute; empty: not known."""
    levels: int = 0
    """How many folders above it belong to the same repository. What lies there can be had."""

    @property
    def prefix(self) -> ProjectPath:
        """The DVC root as seen from the top of the repository."""
        names = self.root.split("/")[len(self.root.split("/")) - self.levels :]
        return ProjectPath("/".join(names)) if names else ROOT

    def resolve(self, folder: ProjectPath, written: str) -> ProjectPath:
        """Resolve a path as written in a DVC file of `folder`, wherever it leads.

        Raises:
            PathEscapes: if it is no path at all, or leads up further than any project lies deep.
        """
        if folder == ROOT and _NORMAL.fullmatch(written):
            return ProjectPath(written)
        if not written or "\0" in written:
            raise PathEscapes(f"{written!r} is not a path")
        scheme, mark, rest = written.partition("://")
        if mark:
            return ProjectPath(f"{scheme}://{posixpath.normpath(rest) if rest else ''}")
        path = posixpath.normpath(posixpath.join(folder, written))
        if self.root and (path.startswith("/") or levels_above(ProjectPath(path))):
            # The names of the folders above may lead back into the root.
            path = posixpath.relpath(posixpath.join(self.root, path), self.root)
        if levels_above(ProjectPath(path)) > _LEVELS_MAX:
            raise PathEscapes(f"{written[:80]!r} leads more than {_LEVELS_MAX} folders up")
        return ProjectPath(path)

    def reach(self, path: ProjectPath) -> bool:
        """Whether a path lies in the repository and can be had.

        A folder that holds the whole root does not count, it is no input; and what is git's or DVC's own stays where
        it is.
        """
        return self.reach_folder(path) and not is_around_root(path) and not is_private(path)

    def reach_folder(self, path: ProjectPath) -> bool:
        """Whether a folder lies in the repository; it may hold the root."""
        return not is_elsewhere(path) and levels_above(path) <= self.levels

    def relative(self, path: ProjectPath, folder: ProjectPath) -> str:
        """Write a path as seen from a folder that may lie above the root."""
        if is_elsewhere(path) or not self.root:
            return relative_to(path, folder)
        return posixpath.relpath(posixpath.join(self.root, path), posixpath.join(self.root, folder))

    def recorded(self, written: str, path: ProjectPath, wdir: ProjectPath) -> str:
        """A path as DVC keeps it: as written, but an absolute one into the project made relative."""
        return self.relative(path, wdir) if written.startswith("/") and is_inside_root(path) else written

    def shown(self, path: ProjectPath, folder: ProjectPath) -> str:
        """Write a path as DVC prints it in `folder`: outside the root absolute."""
        if is_elsewhere(path):
            return path
        if levels_above(path) and self.root:
            return posixpath.normpath(posixpath.join(self.root, path))
        return relative_to(path, folder)


NOWHERE = Surroundings()
"""Nobody knows where the project lies."""


def parse_surroundings(root: str, levels: int) -> Surroundings:
    """Take from outside where a project lies.

    Raises:
        PathEscapes: if the root is no absolute path in canonical form, or has fewer folders above it than said.
    """
    if not root:
        return NOWHERE
    if not root.startswith("/"):
        raise PathEscapes(f"not an absolute path: {root[:80]!r}")
    # The root of the file system has no parts, and no project.
    parts = parse_project_path(root[1:]).split("/")
    if not 0 <= levels <= len(parts):
        raise PathEscapes(f"{root!r} does not lie {levels} folders below another")
    return Surroundings(root, levels)


def is_elsewhere(path: ProjectPath) -> bool:
    """Whether nobody knows how a path lies to the root: it is absolute, or a URL."""
    return path.startswith("/") or "://" in path


def levels_above(path: ProjectPath) -> int:
    """How many folders above the root a path begins; 0: it lies inside."""
    levels = 0
    while path.startswith(_UP, 3 * levels) and path[3 * levels + 2 : 3 * levels + 3] in {"", "/"}:
        levels += 1
    return levels


def is_inside_root(path: ProjectPath) -> bool:
    """Whether it is the DVC root, or lies in it."""
    return not (path.startswith(_UP) and levels_above(path)) and not is_elsewhere(path)


def is_private(path: ProjectPath) -> bool:
    """Whether it is git's or DVC's own, or lies in that. Case is folded because some file systems do."""
    return not _PRIVATE.isdisjoint(path.casefold().split("/"))


def is_around_root(path: ProjectPath) -> bool:
    """Whether it is a folder above the root that holds it."""
    return path == _UP or path.endswith("/..")


def parse_project_path(text: str) -> ProjectPath:
    """Take a path from outside that must already be in canonical form.

    Raises:
        PathEscapes: if it is absolute, has empty, "." or ".." parts, or control bytes.
    """
    parts = text.split("/")
    if not text or any(part in {"", ".", ".."} for part in parts):
        raise PathEscapes(f"not a path inside the project: {text!r}")
    if "\0" in text or len(text.encode("utf-8", "surrogatepass")) > PATH_BYTES_MAX:
        raise PathEscapes(f"not a usable path: {text[:80]!r}")
    return ProjectPath(text)


def parse_reachable_path(text: str, around: Surroundings) -> ProjectPath:
    """Take a path from outside that must be in canonical form, and lie in the project or above it in its repository.

    Raises:
        PathEscapes: if it does not.
    """
    path = ProjectPath(text)
    levels = levels_above(path)
    if not levels:
        return parse_project_path(text)
    parse_project_path(text[3 * levels :])
    if not around.reach(path) or around.resolve(ROOT, text) != path:
        raise PathEscapes(f"not a path inside the repository: {text[:80]!r}")
    return path


def resolve_project_path(folder: ProjectPath, written: str) -> ProjectPath:
    """Resolve a path as written in a DVC file of `folder`; "." and ".." parts are folded.

    Raises:
        PathEscapes: if it is absolute or leads out of the project.
    """
    if written.startswith("/") or "\0" in written or not written:
        raise PathEscapes(f"{written!r} is not a path inside the project")
    joined = posixpath.normpath(written if folder == ROOT else f"{folder}/{written}")
    if joined == ".." or joined.startswith("../"):
        raise PathEscapes(f"{written!r} leads out of the project")
    return ProjectPath(joined)


def is_within(path: ProjectPath, folder: ProjectPath) -> bool:
    """Whether `path` is `folder` or lies below it."""
    if folder == path:
        return True
    if folder == ROOT:
        return is_inside_root(path)
    if folder.startswith(_UP) and is_around_root(folder):
        return not is_elsewhere(path) and levels_above(path) <= levels_above(folder)
    return path.startswith(folder + "/")


def relative_to(path: ProjectPath, folder: ProjectPath) -> str:
    """Write `path` as seen from `folder`, with ".." parts where needed; what lies elsewhere as it is."""
    if is_elsewhere(path) or is_elsewhere(folder):
        return path
    # From a root deep enough: relpath would ask the system where it stands.
    root = "/root" * max(1, levels_above(path), levels_above(folder))
    return posixpath.relpath(f"{root}/{path}", f"{root}/{folder}")


class PathSet:
    """Paths that can be asked about ancestors and descendants without going through all of them."""

    __slots__ = ("_paths", "_sorted")

    def __init__(self, paths: Iterable[ProjectPath]) -> None:
        """Take the paths once; the set does not change afterwards."""
        self._paths = frozenset(paths)
        # "/" sorts after some characters of names: compare by parts, so that a folder's content is
        # one run right behind the folder.
        self._sorted = sorted(tuple(path.split("/")) for path in self._paths)

    def covers(self, path: ProjectPath) -> bool:
        """Whether the path or one of its ancestors is in the set."""
        parts = path.split("/")
        return any(ProjectPath("/".join(parts[:end])) in self._paths for end in range(1, len(parts) + 1))

    def below(self, folder: ProjectPath) -> Iterator[ProjectPath]:
        """Yield the paths that lie strictly below a folder."""
        parts = () if folder == ROOT else tuple(folder.split("/"))
        for position in range(bisect.bisect_right(self._sorted, parts), len(self._sorted)):
            candidate = self._sorted[position]
            if candidate[: len(parts)] != parts:
                return
            path = ProjectPath("/".join(candidate))
            if is_within(path, folder):
                yield path

    def touches(self, path: ProjectPath) -> bool:
        """Whether the set has the path, an ancestor or a descendant of it."""
        return self.covers(path) or next(self.below(path), None) is not None
