"""Paths inside a project: the one place where escape is checked."""

import bisect
import posixpath
from collections.abc import Iterable, Iterator
from typing import NewType

from wherry.service.domain.errors import PathEscapes

ProjectPath = NewType("ProjectPath", str)
"""Relative to the DVC root, "/" between parts, normalised, inside the root. The root itself is "."."""

ROOT = ProjectPath(".")

# Longer than any file system takes (Linux: PATH_MAX), so nothing real is refused.
PATH_BYTES_MAX = 4096


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
    return folder in (ROOT, path) or path.startswith(folder + "/")


def relative_to(path: ProjectPath, folder: ProjectPath) -> str:
    """Write `path` as seen from `folder`, with ".." parts where needed."""
    return posixpath.relpath(path, folder)


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
            yield ProjectPath("/".join(candidate))

    def touches(self, path: ProjectPath) -> bool:
        """Whether the set has the path, an ancestor or a descendant of it."""
        return self.covers(path) or next(self.below(path), None) is not None
