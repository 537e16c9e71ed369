"""Reading a folder that a hostile program filled, without ever leaving it.

Every step opens one name relative to a folder that is already open, and never follows a link by itself: links
are read and resolved here, as the container saw them. Linux only.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# As many as Linux follows.
_LINKS_MAX = 40

_NO_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | _NO_FOLLOW
# A pipe that nobody writes to must not block, a terminal not become ours.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | _NO_FOLLOW

Parts = tuple[str, ...]
"""Names from the folder down, without "." and ".."."""

Identity = tuple[int, int]
"""Device and inode of a folder."""


class LinkUnusable(Exception):
    """A link leads out of the folder, or nowhere, or in a circle."""

    def __init__(self, target: str, why: str) -> None:
        """`target` is what the link says; `why` completes "a link to …, which"."""
        super().__init__(f"a link to {target!r}, which {why}")


@dataclass(frozen=True, slots=True)
class Found:
    """Something in the folder, links resolved."""

    parts: Parts
    """Where it is; no part is a link."""
    mode: int
    """Kind and permission bits."""


class ConfinedFolder:
    """A folder of the host that a container had at another place. Use it as a context manager."""

    def __init__(self, path: Path, seen_at: str, mounts: Mapping[Identity, Path] | None = None) -> None:
        """`seen_at` is the absolute path at which the container had it.

        `mounts` are folders of ours, without links, that it saw in place of the folders of these identities.
        """
        self._path = path
        self._mounts = mounts or {}
        self._seen_at = tuple(part for part in seen_at.split("/") if part)
        self._descriptor = os.open(path, _FOLDER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def resolve(self, parts: Sequence[str]) -> Found:
        """Follow links, also in the middle, as the container would have.

        Raises:
            FileNotFoundError: if there is nothing.
            NotADirectoryError: if something on the way is a file.
            LinkUnusable: if a link leads out of the folder, nowhere, or in a circle.
        """
        walk = _Walk(list(reversed(parts)), self._seen_at)
        try:
            while (name := walk.next_name()) is not None:
                with self._open_folder(walk.here) as folder:
                    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                    if stat.S_ISLNK(mode):
                        walk.follow(os.readlink(name, dir_fd=folder))
                    else:
                        walk.enter(name, mode)
        except (FileNotFoundError, NotADirectoryError) as exc:
            if walk.link is None:
                raise
            raise LinkUnusable(walk.link, "does not exist") from exc
        return Found(tuple(walk.here), walk.mode)

    @contextmanager
    def list_folder(self, parts: Parts) -> Iterator[Iterator[os.DirEntry[str]]]:
        """List a folder reached without links. Entries are only usable inside the `with`."""
        with self._open_folder(parts) as folder, os.scandir(folder) as entries:
            yield entries

    @contextmanager
    def open_file(self, parts: Parts) -> Iterator[int]:
        """Open a regular file reached without links, to read it.

        Raises:
            OSError: if it is not there, not a regular file, or reached through a link.
        """
        with self._open_folder(parts[:-1]) as folder:
            file = os.open(parts[-1], _FILE, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(f"not a regular file: {parts[-1]!r}")
            yield file
        finally:
            os.close(file)

    def place_of(self, parts: Parts) -> Path:
        """Where on the host something is that is reached without links."""
        if not self._mounts:
            return self._path.joinpath(*parts)
        place = self._path
        for part in parts[:-1]:
            place /= part
            place = self._mounts.get(identify(place.lstat()), place)
        return place.joinpath(*parts[-1:])

    @contextmanager
    def _open_folder(self, parts: Sequence[str]) -> Iterator[int]:
        folder = os.dup(self._descriptor)
        try:
            for part in parts:
                below = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
                if self._mounts and (over := self._mounts.get(identify(os.fstat(folder)))):
                    mounted = os.open(over, _FOLDER)
                    os.close(folder)
                    folder = mounted
            yield folder
        finally:
            os.close(folder)


def identify(found: os.stat_result) -> Identity:
    """What a folder is known by, whatever its name."""
    return found.st_dev, found.st_ino


class _Walk:
    """Where a resolution stands: names still to be walked, last first, and those walked."""

    def __init__(self, pending: list[str], seen_at: Parts) -> None:
        self._pending = pending
        self._seen_at = seen_at
        self._links = 0
        self.here: list[str] = []
        self.mode = stat.S_IFDIR
        self.link: str | None = None
        """What the first link says, for messages."""

    def next_name(self) -> str | None:
        """The next name to look up in `here`; None at the end."""
        while self._pending:
            name = self._pending.pop()
            if name in {"", "."}:
                continue
            if not stat.S_ISDIR(self.mode):
                raise NotADirectoryError(self.here[-1])
            if name != "..":
                return name
            if self.here:
                self.here.pop()
            else:
                self._walk_above(len(self._seen_at) - 1)
        return None

    def enter(self, name: str, mode: int) -> None:
        """Go to what the name stands for, which is not a link."""
        self.here.append(name)
        self.mode = mode

    def follow(self, target: str) -> None:
        """Go where a link says."""
        self.link = self.link or target
        self._links += 1
        if self._links > _LINKS_MAX:
            raise LinkUnusable(self.link, "leads in a circle")
        self._pending.extend(reversed(target.split("/")))
        if target.startswith("/"):
            self.here.clear()
            self._walk_above(0)

    def _walk_above(self, depth: int) -> None:
        """Walk outside of the folder, at `depth` parts of the path by which the container sees it.

        Only the way back in is allowed: what else lies there is the container's, or the host's.
        """
        while depth < len(self._seen_at):
            name = self._pending.pop() if self._pending else None
            if name == "..":
                depth = max(0, depth - 1)
            elif name == self._seen_at[depth]:
                depth += 1
            elif name not in {"", "."}:
                raise LinkUnusable(self.link or "..", "leads out of the workspace")
